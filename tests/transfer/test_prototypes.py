"""Prototypes: the nearest mean, as scikit-learn and plain sums have it, and trained for on episodes."""

import keras
import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

import keras_mtl
from keras_mtl import encoders, tasks
from keras_mtl.transfer.episodes import Episodes
from keras_mtl.transfer.features import features_model
from keras_mtl.transfer.few_shot import few_shot_accuracy
from keras_mtl.transfer.prototypes import fit_prototypes, prototype_model, prototypical_scores
from tests.transfer._few_shot import mnist, noisy_classes, untrained


def test_scores_by_hand():
    shown = np.array([[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]])
    scores = prototypical_scores(shown, np.array([0, 0, 1]), np.array([[1.0, 1.0], [5.0, 4.0]]), 2)
    # Means (1, 0) and (5, 5).
    np.testing.assert_allclose(scores, [[-1.0, -32.0], [-32.0, -1.0]])


def test_the_nearest_centroid_of_scikit_learn_decides_alike(rng):
    shown, asked = rng.normal(size=(30, 7)), rng.normal(size=(200, 7))
    labels = rng.permutation(np.arange(30) % 4)
    scores = np.asarray(prototypical_scores(shown, labels, asked, 4))
    peer = NearestCentroid().fit(shown, labels)
    np.testing.assert_array_equal(scores.argmax(-1), peer.predict(asked))


def test_a_model_tells_classes_it_never_saw(rng, tmp_path):
    x, labels = noisy_classes(rng, classes=3)
    model = untrained()
    known = np.where(np.arange(len(labels)) % 4 == 0, labels, -1)
    served = prototype_model(model, x, known, classes=["ant", "bee", "cat"])
    answers = served.predict(x, verbose=0)
    features = features_model(model).predict(x, verbose=0)
    peer = NearestCentroid().fit(features[known >= 0], known[known >= 0])
    np.testing.assert_array_equal(answers.argmax(-1), peer.predict(features))
    np.testing.assert_allclose(answers.sum(-1), 1, rtol=1e-5)
    served.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), answers)
    assert loaded.get_layer("prototypes").classes == ["ant", "bee", "cat"]


def test_a_class_without_an_example_is_refused(rng):
    x, _ = noisy_classes(rng, classes=2, rows=2)
    with pytest.raises(ValueError, match=r"\[2, 0, 2\] examples"):
        prototype_model(untrained(), x, np.array([0, 0, 2, 2]))
    with pytest.raises(ValueError, match=r"names are \['a'\]"):
        prototype_model(untrained(), x, np.array([0, 0, 1, 1]), classes=["a"])


def test_features_of_sequences_leave_padding_out():
    encoder = encoders.Text(["a", "b"], "cnn", units=4, embedding=4)
    trunk = features_model(keras_mtl.build_model(encoder, [tasks.Binary("t"), tasks.Binary("u")]))
    rows = [["a", "b", ""], ["a", "b", "b"]]
    short, long = (
        trunk.predict(keras.ops.convert_to_tensor(np.array(r), dtype="string"), verbose=0)
        for r in ([rows[0][:2]], rows)
    )
    np.testing.assert_allclose(short[0], long[0], rtol=1e-5, atol=1e-6)
    assert not np.allclose(long[0], long[1])


def test_training_on_episodes_finds_what_tells_classes_apart(rng):
    """The noise is five times the spread: raw columns do little better than chance on new classes."""
    x, labels = noisy_classes(rng, classes=40)
    model = untrained()
    heads = [v.numpy() for name in model.task_names for v in model.task_variables(name)]
    history = fit_prototypes(
        model,
        Episodes(x, labels, ways=5, shots=2, queries=5, classes=range(30)),
        steps=60,
        epochs=3,
        optimizer=keras.optimizers.Adam(0.01),
        verbose=0,
    ).history
    assert history["accuracy"][-1] > history["accuracy"][0] + 0.1

    def accuracy(rows):
        new = Episodes(rows, labels, ways=5, shots=2, queries=5, classes=range(30, 40))
        return few_shot_accuracy(new, prototypical_scores, count=100)

    raw, learnt = accuracy(x), accuracy(features_model(model).predict(x, verbose=0))
    assert raw.mean < 0.45 and learnt.mean - learnt.margin > 0.75
    after = [v.numpy() for name in model.task_names for v in model.task_variables(name)]
    assert all(np.array_equal(a, b) for a, b in zip(heads, after, strict=True)), "heads are left"


def test_the_margin_is_of_95_percent():
    """Episodes of two rows asked, both alike: right or wrong at even odds."""
    rows = np.zeros((40, 1))
    found = few_shot_accuracy(
        Episodes(rows, np.arange(40) % 2, ways=2, queries=3),
        lambda shown, labels, asked, ways: np.tile([1.0, 0.0], (6, 1)),
        count=50,
    )
    assert found.mean == 0.5 and found.margin == 0
    assert str(found) == "0.500 +- 0.000 (50 episodes)"


@pytest.mark.needs_data
def test_new_digits_from_one_example_each(data_dir):
    """Trained to tell 0 to 4 and by how many quarters they are turned; asked are 5 to 9."""
    (x, labels), (new, truth) = mnist(data_dir, rows=3000)
    x, labels = x[labels < 5], labels[labels < 5]
    keras.utils.set_random_seed(0)
    encoder = encoders.Image((28, 28, 1), filters=[16, 32], units=64)
    kinds = [tasks.MultiClass("digit", 5), tasks.MultiClass("turn", 4)]
    model = keras_mtl.build_model(encoder, kinds)
    model.compile("adam")
    every = np.concatenate([np.rot90(x, quarters, axes=(1, 2)) for quarters in range(4)])
    y = {"digit": np.tile(labels, 4), "turn": np.repeat(np.arange(4), len(x))}
    model.fit(every, y, batch_size=64, epochs=2, verbose=0)
    features = features_model(model).predict(new, verbose=0)

    def accuracy(rows):
        asked = Episodes(rows, truth, ways=5, shots=1, classes=range(5, 10))
        return few_shot_accuracy(asked, prototypical_scores, count=200)

    raw, learnt = accuracy(new), accuracy(features)
    assert learnt.mean - learnt.margin > raw.mean + raw.margin, (str(raw), str(learnt))
    assert raw.mean > 0.25, "chance is 0.2"
