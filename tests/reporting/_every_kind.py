"""Labels and answers of every kind of task, some of them missing, and a model that has them all."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation._judged import present
from keras_mtl.reporting._judged import Judged

EVIL = "<script>alert('1')</script>"
TAGS = ["O", "B-x", "I-x", "B-<b>"]
TASKS = {
    "binary": tasks.Binary("binary", [EVIL, 'a "yes" & more']),
    "several": tasks.MultiClass("several", ["a|b", "c", "d", "e_f"]),
    "ordinal": tasks.Ordinal("ordinal", ["low", "middle", "high"]),
    "topics": tasks.MultiLabel("topics", 3),
    "numbers": tasks.Regression("numbers", ["height", "width"], units="mm"),
    "slots": tasks.SequenceTagging("slots", TAGS),
}


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def judged(name, n=60, seed=0, informed=1.0, missing=True):
    """Random labels of a task of `TASKS` and answers that know a little of them."""
    rng = np.random.default_rng(seed)
    task = TASKS[name]
    if name == "numbers":
        labels = rng.normal(5, 2, (n, 2))
        answers = (labels + rng.normal(0, 1, (n, 2))).astype("float32")
        if missing:
            labels[rng.random((n, 2)) < 0.2] = np.nan
            labels[0] = [5.0, np.nan]
    elif name == "slots":
        labels = rng.integers(0, len(TAGS), (n, 6))
        answers = softmax(informed * 2 * np.eye(4)[labels] + rng.normal(size=(n, 6, 4)))
        lengths = rng.integers(1, 7, n)
        labels[np.arange(6) >= lengths[:, None]] = -1
    elif name == "topics":
        labels = rng.integers(0, 2, (n, 3))
        answers = 1 / (1 + np.exp(-(informed * (2.0 * labels - 1) + rng.normal(size=(n, 3)))))
        if missing:
            labels[1:][rng.random((n - 1, 3)) < 0.2] = -1
    else:
        c = len(task.classes)
        labels = rng.integers(0, c, n)
        scores = informed * 2 * np.eye(c)[labels] + rng.normal(size=(n, c))
        answers = softmax(scores)
        if name == "binary":
            # Few digits, so that there are ties.
            answers = np.round(answers[:, 1:], 1)
    kept = present(labels, task.real_labels).reshape(n, -1).any(axis=1)
    labels, answers, rows = labels[kept], answers[kept], np.flatnonzero(kept)
    return Judged(name, task, labels, answers, rows, task.score(labels, answers))


def model_of_all():
    """A model with a task of every kind and one without a task object, trained a little; its rows."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    n = 80
    x = rng.normal(size=(n, 3)).astype("float32")
    lengths = rng.integers(1, 5, n)
    words = [[EVIL, *rng.choice(["red", "<i>", "blue"], k - 1)] for k in lengths]
    labels = {
        "binary": np.where(rng.random(n) < 0.2, -1, (x[:, 0] > 0)).astype("int32"),
        "several": rng.integers(0, 4, n),
        "ordinal": np.digitize(x[:, 1], [-0.5, 0.5]),
        "topics": np.where(rng.random((n, 3)) < 0.2, -1, x > 0).astype("int32"),
        "numbers": np.where(rng.random((n, 2)) < 0.2, np.nan, x[:, :2] * [10, 0.01]),
        "slots": [rng.integers(0, 4, k) for k in lengths],
        "own": (x[:, 2] > 0).astype("float32"),
    }
    tokens = keras.Input((None,), dtype="string", name="tokens")
    features = keras.Input((3,), name="features")
    steps, _ = encoders.Text(["red", "blue"], "cnn", units=6, embedding=4)(tokens)
    wide = keras.layers.Dense(8, activation="relu", name="wide")(features)
    outputs = {n: t.head(steps if n == "slots" else wide) for n, t in TASKS.items()}
    outputs["own"] = keras.layers.Dense(1, activation="sigmoid", name="own")(wide)
    model = keras_mtl.MultiTaskModel([tokens, features], outputs)
    # Eagerly: to trace seven heads takes longer than the few steps.
    model.compile(
        "adam", loss={"own": "binary_crossentropy"}, metrics={"own": ["accuracy"]}, run_eagerly=True
    )
    rows = data.Examples({"tokens": words, "features": x}, labels)
    batches = rows.dataset(40)
    model.fit(batches, validation_data=batches, epochs=2, verbose=0)
    return model, rows
