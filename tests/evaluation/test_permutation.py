"""Permutation importance: scikit-learn's own numbers, and what a feature that is not used has."""

import keras
import numpy as np
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression

import keras_mtl
from keras_mtl import encoders, tasks
from keras_mtl.evaluation import explain


@pytest.fixture(scope="module")
def fitted():
    """A linear model of two targets of four columns, by scikit-learn and by Keras."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4)).astype("float32")
    a = x @ [3.0, 0.0, 1.0, 0.0] + 0.1 * rng.normal(size=60)
    b = x @ [2.0, 0.0, 0.0, 4.0] + 0.1 * rng.normal(size=60)
    known = {name: LinearRegression().fit(x, y) for name, y in (("a", a), ("b", b))}
    inputs = keras.Input((4,), name="x")
    kinds = [tasks.Regression(name, scaling=None) for name in known]
    model = keras_mtl.MultiTaskModel(inputs, {t.name: t.head(inputs) for t in kinds})
    for name, of_task in known.items():
        weights = [of_task.coef_[:, None], np.array([of_task.intercept_])]
        model.get_layer(f"{name}_scores").set_weights(weights)
    return model, known, x, {"a": a.astype("float32"), "b": b.astype("float32")}


def test_it_is_scikit_learns_of_the_same_model(fitted):
    model, known, x, y = fitted
    found = explain(model, x, y, method="permutation", repeats=4, seed=7)
    for task, of_task in known.items():
        told = permutation_importance(
            of_task, x, y[task], scoring="neg_root_mean_squared_error", n_repeats=4, random_state=7
        )
        for i in range(4):
            feature = f"x[{i}]"
            assert found.importance[feature][task] == pytest.approx(
                told.importances_mean[i], abs=1e-4
            )
            assert found.deviation[feature][task] == pytest.approx(
                told.importances_std[i], abs=1e-4
            )
    assert list(found.shared) == ["x[0]"]
    assert found.attributions == {} and found.completeness_gap == {}


def test_a_group_is_permuted_as_one(fitted):
    """As scikit-learn permutes a column that two linear terms read."""
    model, known, x, y = fitted
    found = explain(
        model, x, y, task="a", method="permutation", groups={"both": ["x[0]", "x[2]"]}, seed=3
    )
    rows = np.arange(60.0)[:, None]

    class Both(LinearRegression):
        def predict(self, rows):
            mixed = x.copy()
            mixed[:, [0, 2]] = x[rows[:, 0].astype(int)][:, [0, 2]]
            return known["a"].predict(mixed)

    told = permutation_importance(
        Both().fit(rows, y["a"]), rows, y["a"], scoring="neg_root_mean_squared_error",
        random_state=3,
    )  # fmt: skip
    assert found.importance["both"]["a"] == pytest.approx(told.importances_mean[0], abs=1e-4)
    assert list(found.importance) == ["both", "x[1]", "x[3]"]


def test_more_is_worse_for_errors_and_for_scores_alike():
    x = np.arange(8, dtype="float32")[:, None] - 3.5
    inputs = keras.Input((1,), name="x")
    kinds = [tasks.Regression("size", scaling=None), tasks.Binary("over")]
    model = keras_mtl.MultiTaskModel(inputs, {t.name: t.head(inputs) for t in kinds})
    for layer in ("size_scores", "over_scores"):
        model.get_layer(layer).set_weights([np.ones((1, 1)), np.zeros(1)])
    found = explain(model, x, {"size": x, "over": (x > 0).astype(int)}, method="permutation")
    assert found.importance["x[0]"]["size"] > 1 and found.importance["x[0]"]["over"] > 0.2


def test_names_words_and_missing_labels(rng):
    """A word or name counts by what the answers lose; rows without a label are left out."""
    job = rng.choice(["cook", "judge"], 40).astype(object)
    words = rng.choice(["play", "rain", "sun", "so"], (40, 3)).astype(object)
    words[rng.random((40, 3)) < 0.2] = ""
    inputs = {
        "job": keras.Input((), name="job", dtype="string"),
        "words": keras.Input((None,), name="words", dtype="string"),
    }
    known = {"job": ["cook", "judge"], "words": ["play", "rain", "sun", "so"]}
    tables = {
        "job": np.array([[0], [3], [-3]], "float32"),
        "words": np.array([[0], [0], [5], [-5], [0], [0]], "float32"),
    }
    served = {}
    for name, task in (("job", "pays"), ("words", "song")):
        mask = {"mask_token": ""} if name == "words" else {}
        lookup = keras.layers.StringLookup(vocabulary=known[name], **mask)
        embed = keras.layers.Embedding(len(tables[name]), 1, name=f"embed_{name}")
        vectors = embed(lookup(inputs[name]))
        total = keras.ops.sum(vectors, axis=1) if name == "words" else vectors
        served[task] = keras.ops.sigmoid(keras.ops.reshape(total, (-1, 1)))
        embed.set_weights([tables[name]])
    kinds = [tasks.Binary("pays"), tasks.Binary("song")]
    model = keras_mtl.MultiTaskModel(inputs, served, tasks=kinds)
    weight = np.select([words == "play", words == "rain"], [1, -1], 0).sum(axis=1)
    labels = {"pays": np.where(job == "cook", 1, 0), "song": (weight > 0).astype(int)}
    labels["pays"][:5] = -1
    rows = {"job": job, "words": words}
    found = explain(model, rows, labels, method="permutation", repeats=3)
    assert sorted(found.importance) == [
        "job", "words: play", "words: rain", "words: so", "words: sun",
    ]  # fmt: skip
    song = {f.removeprefix("words: "): x["song"] for f, x in found.importance.items()}
    assert song["job"] == 0 and song["play"] > 0.05
    pays = {f: x["pays"] for f, x in found.importance.items()}
    assert pays.pop("job") > 0.2 and set(pays.values()) == {0.0}
    wrong = {**labels, "pays": np.where(labels["pays"] == 1, 0, 1)}
    wrong["pays"][:5] = -1
    turned = explain(model, rows, wrong, task="pays", method="permutation", repeats=3)
    assert turned.importance["job"]["pays"] == pytest.approx(-found.importance["job"]["pays"])
    assert turned.shares["job"]["pays"] == 0


def test_a_raw_text_is_permuted_word_by_word():
    keras.utils.set_random_seed(0)
    lookup = keras.layers.TextVectorization()
    lookup.adapt(["play a song", "rain in rome"])
    model = keras_mtl.build_model(
        encoders.Text(lookup, "cnn", units=4, embedding=4), [tasks.Regression("x")]
    )
    texts = np.array(["play a song", "rain", "in rome", "a song in rome"] * 3, dtype=object)
    y = model.predict(texts, verbose=0)["x"]
    found = explain(model, texts, {"x": y}, method="permutation", repeats=2)
    assert sorted(found.importance) == sorted(
        f"text: {w}" for w in ("play", "a", "song", "rain", "in", "rome")
    )
    assert all(x["x"] > 0 for x in found.importance.values())


def test_what_cannot_be_permuted_is_refused(fitted):
    model, _, x, y = fitted
    with pytest.raises(ValueError, match=r"needs labels and a task object of some task"):
        explain(model, x, method="permutation")
    with pytest.raises(ValueError, match=r"needs labels and a task object of \['b'\]"):
        explain(model, x, {"a": y["a"]}, task=["a", "b"], method="permutation")
    with pytest.raises(ValueError, match="`baseline` is for integrated gradients"):
        explain(model, x, y, method="permutation", baseline=0.0)
    yes = keras_mtl.build_model(encoders.Dense(4, units=[2]), [tasks.Binary("a")])
    with pytest.raises(ValueError, match="The auc of task 'a' is not defined"):
        explain(yes, x, {"a": np.ones(60, int)}, method="permutation")
