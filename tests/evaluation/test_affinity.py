"""Affinities: NumPy's gradients and look-aheads, agreement found, and no trace left."""

import json
import random
import xml.etree.ElementTree as xml

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation._probe import Probe
from keras_mtl.evaluation.affinity import Affinity, gradient_cosines, look_ahead, task_affinity
from keras_mtl.evaluation.grouping import suggest_groups
from tests.models import compiled, rows

RATE = 0.05


def linear(names, weight, **kwargs):
    """Every task answers with the same linear function: what one learns, all are told."""
    inputs = keras.Input((len(weight),), name="x")
    shared = keras.layers.Dense(1, use_bias=False, name="shared", **kwargs)(inputs)
    model = keras_mtl.MultiTaskModel(
        inputs, {name: keras.layers.Identity(name=name)(shared) for name in names}
    )
    model.get_layer("shared").set_weights([np.reshape(weight, (-1, 1))])
    return model


def factions(rng, n=64):
    """Tasks a and b want the same, c and d the same, and the pairs the opposite."""
    x = rng.normal(size=(n, 3)).astype("float32")
    wanted = x @ np.array([[1.0], [-2.0], [0.5]], "float32")
    noise = 0.1 * rng.normal(size=(4, n, 1)).astype("float32")
    signs = {"a": 1, "b": 1, "c": -1, "d": -1}
    y = {t: s * wanted + e for (t, s), e in zip(signs.items(), noise, strict=True)}
    return x, y


def loss_and_gradient(x, y, w):
    error = x @ w - y
    return np.square(error).mean(), 2 * x.T @ error / len(x)


def state(model):
    return [np.array(v) for v in [*model.variables, *model.optimizer.variables]]


def test_a_look_ahead_is_numpys(rng):
    """One batch, written out: Z_ij = 1 - L_j(w - eta alpha_i grad L_i) / L_j(w)."""
    x, y = factions(rng)
    w = np.array([[0.3], [0.1], [-0.2]])
    model = linear("abcd", w)
    model.compile(keras.optimizers.SGD(RATE), loss="mse", loss_weights={"b": 2.0})
    found = look_ahead(Probe(model), (x, y))
    alphas = {"a": 1, "b": 2, "c": 1, "d": 1}
    for i, one in enumerate("abcd"):
        moved = w - RATE * alphas[one] * loss_and_gradient(x, y[one], w)[1]
        for j, other in enumerate("abcd"):
            before, after = (loss_and_gradient(x, y[other], v)[0] for v in (w, moved))
            assert found[i, j] == pytest.approx(1 - after / before, abs=1e-5)


def test_gradient_cosines_are_numpys_a_mean_over_batches(rng):
    x, y = factions(rng)
    w = rng.normal(size=(3, 1))
    model = linear("abcd", w)
    model.compile("adam", loss="mse", balancer="pcgrad")
    found = gradient_cosines(model, x, y, batch_size=32)
    expected = np.zeros((4, 4))
    for part in (slice(0, 32), slice(32, 64)):
        g = [loss_and_gradient(x[part], y[t][part], w)[1].ravel() for t in "abcd"]
        g = np.array([v / np.linalg.norm(v) for v in g])
        expected += g @ g.T / 2
    np.testing.assert_allclose(found.matrix, expected, atol=1e-5)


def test_regularisation_belongs_to_no_task(rng):
    x, y = factions(rng)
    w = rng.normal(size=(3, 1))
    found = []
    for weight in (0.0, 10.0):
        model = linear("abcd", w, kernel_regularizer=keras.regularizers.L2(weight))
        model.compile(keras.optimizers.SGD(RATE), loss="mse")
        probe = Probe(model)
        _, gradients = probe.gradients((x, y))
        found.append((np.array([g[0] for g in gradients]), look_ahead(probe, (x, y))))
    for plain, regularised in zip(*found, strict=True):
        np.testing.assert_allclose(plain, regularised, atol=1e-4)


def test_same_labels_pull_alike_and_opposite_ones_apart(rng):
    """Through a network: heads start alike and near 0, so that answers are near the labels' mean."""
    x = rng.normal(size=(50, 4)).astype("float32")
    wanted = (x[:, :1] * x[:, 1:2]).astype("float32")
    wanted -= wanted.mean()
    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(8, activation="tanh")(inputs)
    model = keras_mtl.MultiTaskModel(
        inputs, {n: keras.layers.Dense(1, name=n)(hidden) for n in ("one", "same", "opposite")}
    )
    kernel = 0.01 * rng.normal(size=(8, 1))
    for name in model.task_names:
        model.get_layer(name).set_weights([kernel, np.zeros(1)])
    model.compile("sgd", loss="mse")
    found = gradient_cosines(model, x, {"one": wanted, "same": wanted, "opposite": -wanted})
    assert found["one", "same"] == pytest.approx(1, abs=1e-5)
    assert found["one", "opposite"] < -0.98


def test_training_finds_who_agrees(rng):
    x, y = factions(rng, 96)
    model = linear("abcd", [0.0, 0.0, 0.0])
    model.compile(keras.optimizers.SGD(RATE), loss="mse", jit_compile=False)
    before = state(model)
    found = task_affinity(model, x, y, epochs=4, batch_size=16, every=2)
    for one in "abcd":
        for other in "abcd":
            together = {one, other} <= set("ab") or {one, other} <= set("cd")
            assert (found[one, other] > 0.01) if together else (found[one, other] < -0.01)
    for was, now in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(was, now)
    groups = suggest_groups(model, x, y, max_groups=2, epochs=1, batch_size=32, every=1)
    assert list(groups) == [["a", "b"], ["c", "d"]]


def test_measuring_leaves_no_trace(rng):
    """Dropout, batch norm, Adam, a balancer: the same bits with and without look-aheads."""
    x = rng.normal(size=(40, 4)).astype("float32")
    y = {"a": (x[:, 0] > 0).astype("int32"), "b": (3 + x[:, 1]).astype("float32")}
    batches = [({"features": x[i : i + 8]}, {t: v[i : i + 8] for t, v in y.items()})
               for i in range(0, 40, 8)]  # fmt: skip

    def run(measure):
        keras.utils.clear_session(free_memory=False)  # Keras 3.12 seeds only what it makes anew.
        keras.utils.set_random_seed(3)
        inputs = keras.Input((4,), name="features")
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(6, activation="relu")(inputs))
        hidden = keras.layers.Dropout(0.4)(hidden)
        kinds = [tasks.Binary("a"), tasks.Regression("b")]
        model = keras_mtl.MultiTaskModel(inputs, {t.name: t.head(hidden) for t in kinds})
        model.compile(keras.optimizers.Adam(0.01), balancer="dwa", jit_compile=False)
        model.adapt({"b": y["b"]})
        probe = Probe(model) if measure else None
        found = []
        for batch in batches:
            if probe is not None:
                found.append(look_ahead(probe, batch))
            model.train_on_batch(*batch)
        after = [random.random(), np.random.random(), keras.random.uniform((2,))]
        return state(model), found, [np.array(a) for a in after]

    (with_it, found, drawn), (without, _, drawn_without) = run(True), run(False)
    for one, other in zip(with_it + drawn, without + drawn_without, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.isfinite(found).all() and np.ptp(found, axis=0).min() > 0


def test_the_twin_trains_as_fit_does(rng):
    """`task_affinity` of a run is the mean of look-aheads before the steps that `fit` takes."""
    x = rng.normal(size=(48, 4)).astype("float32")
    rows_ = data.Examples({"features": x}, {"a": x[:, 0] > 0, "b": 50 + 9 * x[:, 1]})
    kinds = [tasks.Binary("a"), tasks.Regression("b")]
    model = keras_mtl.build_model(encoders.Dense(4, units=[6], dropout=0.3), kinds)
    model.compile(keras.optimizers.Adam(0.02), balancer="dwa", loss_weights={"a": 0.5},
                  jit_compile=False)  # fmt: skip
    found = task_affinity(model, rows_, epochs=2, batch_size=16, every=3, learning_rate=0.1, seed=1)
    assert float(model.get_layer("b").adapted) == 0
    model.adapt({"b": rows_.labels["b"]})
    first, order = (rows_.dataset(16, shuffle=True, seed=1) for _ in range(2))
    # The order of the first epoch is the second: labels were read through before.
    for either in (first, order):
        list(either.take(1))
    probe = Probe(model)
    expected = [look_ahead(probe, next(iter(first)), 0.1)]
    model.fit(order, epochs=1, verbose=0)
    expected.append(look_ahead(probe, next(iter(order)), 0.1))
    np.testing.assert_allclose(found.matrix, np.mean(expected, axis=0), atol=1e-6)
    assert np.abs(expected[0] - expected[1]).min() > 1e-4


def test_a_batch_without_labels_of_a_task_is_left_out_for_it(rng):
    x, y = factions(rng, 32)
    model = linear("abcd", rng.normal(size=(3, 1)))
    model.compile(keras.optimizers.SGD(RATE), loss="mse")
    some = {t: v.copy() for t, v in y.items()}
    some["d"][:16] = np.nan
    parts = [(x[i : i + 16], {t: v[i : i + 16] for t, v in some.items()}) for i in (0, 16)]
    both, last = gradient_cosines(model, parts), gradient_cosines(model, parts[1:])
    first = gradient_cosines(model, parts[:1])
    np.testing.assert_allclose(both.matrix[3], last.matrix[3])
    np.testing.assert_allclose(
        both.matrix[:3, :3], (first.matrix + last.matrix)[:3, :3] / 2, atol=1e-6
    )
    assert np.isnan(first.matrix[3]).all() and np.isfinite(first.matrix[:3, :3]).all()
    ahead = look_ahead(Probe(model), parts[0])
    assert np.isnan(ahead[3]).all() and np.isnan(ahead[:, 3]).all()
    assert np.isfinite(ahead[:3, :3]).all()


def test_embeddings_and_models_of_ones_own():
    """A shared embedding's rows are added up; a task without a loss is not measured."""
    inputs = keras.Input((3,), dtype="int32", name="words")
    hidden = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(inputs))
    outputs = {n: keras.layers.Dense(1, name=n)(hidden) for n in ("p", "q", "served")}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile("sgd", loss={"p": "mse", "q": "mse"})
    words = np.array([[1, 1, 2], [4, 1, 1]])
    y = {"p": np.array([[1.0], [0.0]]), "q": np.array([[1.0], [3.0]])}
    table = model.layers[1].get_weights()[0]
    expected = []
    for name in ("p", "q"):
        kernel, bias = model.get_layer(name).get_weights()
        error = table[words].reshape(2, 6) @ kernel + bias - y[name]
        gradient = np.zeros_like(table)
        np.add.at(gradient, words, (2 / 2 * error @ kernel.T).reshape(2, 3, 2))
        expected.append(gradient.ravel() / np.linalg.norm(gradient))
    found = gradient_cosines(model, [(words, y)])
    assert found.task_names == ["p", "q"]
    assert found["p", "q"] == pytest.approx(expected[0] @ expected[1], abs=1e-5)
    x, y = rows(32)
    assert np.isfinite(gradient_cosines(compiled(), x, y).matrix).all()


def test_it_prints_is_saved_and_drawn(tmp_path):
    made = Affinity([[0.5, -0.00123], [np.nan, 0.25]], ["a<b", "c"], "look-ahead affinity")
    assert made["a<b", "c"] == -0.00123
    assert "-0.00123" in str(made) and "0.50000" in str(made)
    told = json.loads(made.to_json(tmp_path / "affinity.json").read_text())
    again = Affinity.from_dict(told)
    np.testing.assert_array_equal(again.matrix, made.matrix)
    assert (again.task_names, again.kind) == (made.task_names, made.kind)
    assert told["matrix"]["c"]["a<b"] is None
    path = made.draw(tmp_path / "affinity.svg")
    tree = xml.parse(path).getroot()
    fills = [r.get("fill") for r in tree.iter() if r.get("class") == "cell"]
    assert len(fills) == 4 and len(set(fills)) == 3 and fills[0] == fills[3]
    words = [node.text for node in tree.iter()]
    assert words.count("a<b") == 2 and "-0.00123" in words and "?" in words
    assert path.read_text().count("http") == 1, "nothing is fetched: only the name of the format"


def test_what_cannot_be_measured_is_refused(rng):
    with pytest.raises(ValueError, match=r"shape \(2, 3\); expected a square of \(2, 2\)"):
        Affinity(np.zeros((2, 3)), ["a", "b"])
    with pytest.raises(ValueError, match="each task once"):
        Affinity(np.zeros((2, 2)), ["a", "a"])
    with pytest.raises(ValueError, match="'z'"):
        Affinity(np.zeros((2, 2)), ["a", "b"])["a", "z"]
    x, y = factions(rng, 8)
    model = linear("abcd", [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="not compiled"):
        gradient_cosines(model, x, y)
    model.compile("sgd", loss={"a": "mse"})
    with pytest.raises(ValueError, match=r"losses of \['a'\]"):
        gradient_cosines(model, x, y)
    model.compile("sgd", loss="mse")
    for name in ("epochs", "every", "learning_rate"):
        with pytest.raises(ValueError, match=f"`{name}` is 0; expected a positive number"):
            task_affinity(model, x, y, **{name: 0})
    with pytest.raises(ValueError, match="no batch"):
        gradient_cosines(model, [])
    model.compile(keras.optimizers.SGD(1e30), loss="mse")
    with pytest.raises(ValueError, match=r"losses after a look-ahead are .* lower the learning"):
        look_ahead(Probe(model), (x, y))
    apart = keras.Input((2,), name="x")
    other = keras_mtl.MultiTaskModel(
        apart, {n: keras.layers.Dense(1, name=n)(apart) for n in ("a", "b")}
    )
    other.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="0 trainable variables that several tasks share"):
        gradient_cosines(other, [])
