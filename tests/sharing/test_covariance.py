"""Covariance: Omega in closed form, the prior's cost, and the loop of both."""

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl import encoders, sharing, tasks
from keras_mtl.sharing.covariance import along_modes, mode_covariance, task_covariance


def linear(k, width, scheme):
    """K linear heads on the inputs themselves."""
    inputs = keras.Input((width,), name="x")
    plain = keras.layers.Identity(name="same")
    return keras_mtl.build_model(
        plain,
        [tasks.Regression(f"t{i}", scaling=None) for i in range(k)],
        scheme,
        inputs=inputs,
    )


def test_omega_is_the_papers_and_minimises_the_cost(rng):
    w = rng.normal(size=(4, 30))
    products = w @ w.T
    root = scipy.linalg.sqrtm(products).real
    got = np.asarray(task_covariance(ops.convert_to_tensor(products, "float32")))
    np.testing.assert_allclose(got, root / np.trace(root), atol=2e-3)
    best = np.trace(np.linalg.inv(got) @ products)
    np.testing.assert_allclose(best, np.trace(root) ** 2, rtol=5e-3)
    for _ in range(20):
        other = rng.normal(size=(4, 6))
        other = other @ other.T
        assert np.trace(np.linalg.inv(other / np.trace(other)) @ products) >= best * 0.995


def test_omega_of_no_weights_and_of_one_direction_is_finite():
    none = np.asarray(task_covariance(ops.zeros((3, 3))))
    np.testing.assert_allclose(none, np.eye(3) / 3, atol=1e-6)
    same = np.asarray(task_covariance(ops.ones((3, 3))))
    np.testing.assert_allclose(same, np.full((3, 3), 1 / 3), atol=1e-3)
    assert np.isfinite(np.linalg.inv(same)).all()


def test_a_mode_of_the_tensor_normal_is_found_from_draws(rng):
    """The maximum of the likelihood, from one tensor with many entries in the other modes."""
    root = np.array([[1.0, 0.0, 0.0], [0.9, 0.4, 0.0], [0.0, 0.5, 1.0]])
    w = ops.convert_to_tensor(
        np.einsum("ij,jdu->idu", root, rng.normal(size=(3, 60, 50))), "float32"
    )
    identities = [ops.eye(n) for n in w.shape]
    found = np.asarray(mode_covariance(w, identities, 0))
    true = root @ root.T
    np.testing.assert_allclose(found, true * 3 / np.trace(true), atol=0.1)
    inverse = ops.inv(ops.convert_to_tensor(found))
    whitened = np.asarray(along_modes(w, [inverse, None, None]))
    np.testing.assert_allclose(whitened, np.einsum("ij,jdu->idu", inverse, w), rtol=1e-4, atol=1e-4)


def test_the_cost_is_the_trace_over_the_heads_kernels(rng):
    scheme = sharing.Covariance(units=(), strength=0.5)
    model = linear(3, 5, scheme)
    kernels = np.stack([model.get_layer(f"t{i}_scores").kernel.numpy()[:, 0] for i in range(3)])
    model(np.zeros((2, 5), "float32"))
    # Omega begins as the identity over K.
    expected = 0.25 * 3 * np.square(kernels).sum()
    np.testing.assert_allclose(float(sum(model.losses)), expected, rtol=1e-4)


def test_related_tasks_are_found_and_help_each_other(rng):
    """Tasks 0 and 1 want opposite weights, 2 is apart; each has few rows."""
    w = rng.normal(size=20)
    wanted = np.stack([w, -w, rng.normal(size=20)])
    x = rng.normal(size=(60, 20)).astype("float32")
    y = {f"t{i}": (x @ wanted[i] + rng.normal(size=60))[:, None] for i in range(3)}
    for i in range(3):
        y[f"t{i}"][[r for r in range(60) if r % 3 != i]] = np.nan
    errors = {}
    for name, scheme in {
        "apart": sharing.Covariance(units=(), strength=0.2, every=10**6),
        "related": sharing.Covariance(units=(), strength=0.2, every=5),
    }.items():
        model = linear(3, 20, scheme)
        model.compile(keras.optimizers.Adam(0.05), jit_compile=True)
        model.fit(tf.data.Dataset.from_tensors((x, y)).repeat(400), verbose=0)
        found = np.stack([model.get_layer(f"t{i}_scores").kernel.numpy()[:, 0] for i in range(3)])
        errors[name] = np.square(found - wanted)[:2].mean()
    correlation = scheme.task_correlation
    assert correlation[0, 1] < -0.8 and abs(correlation[0, 2]) < 0.5
    np.testing.assert_allclose(np.diag(correlation), 1, rtol=1e-5)
    assert errors["related"] < 0.7 * errors["apart"]


@pytest.mark.parametrize("prior", ["matrix", "tensor"])
def test_layers_of_its_own_are_saved_with_their_covariances(prior, tmp_path, rng):
    x = rng.normal(size=(32, 4)).astype("float32")
    y = {"a": x[:, :1], "b": -x[:, :1]}
    scheme = sharing.Covariance(units=(8, 6), strength=0.01, every=2, prior=prior)
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[8]), [tasks.Regression("a"), tasks.Regression("b")], scheme
    )
    start = scheme.task_covariance
    assert not np.allclose(scheme.kernels[0][0], scheme.kernels[0][1])
    model.compile("adam")
    model.fit(x, y, epochs=4, verbose=0)
    assert not np.allclose(scheme.task_covariance, start)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    other = next(layer for layer in loaded.layers if isinstance(layer, sharing.Covariance))
    np.testing.assert_array_equal(other.task_covariance, scheme.task_covariance)
    history = [
        m.fit(x, y, epochs=2, verbose=0, shuffle=False).history["loss"] for m in (model, loaded)
    ]
    assert history[0] == history[1]


def test_strength_0_is_hard_sharing(rng):
    x = rng.normal(size=(32, 4)).astype("float32")
    y = {"t0": x[:, :1], "t1": x[:, 1:2]}
    found = []
    for scheme in ("hard", sharing.Covariance(units=(), strength=0.0)):
        keras.utils.set_random_seed(1)
        model = linear(2, 4, scheme)
        model.compile("sgd")
        model.fit(x, y, epochs=2, verbose=0, shuffle=False)
        found.append(model.predict(x, verbose=0))
    for task in found[0]:
        np.testing.assert_allclose(found[0][task], found[1][task], rtol=1e-5)


def test_loaded_heads_are_tied_again(tmp_path):
    model = linear(3, 5, sharing.Covariance(units=(), strength=0.5))
    x = np.zeros((2, 5), "float32")
    model(x)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    loaded(x)
    np.testing.assert_allclose(sum(loaded.losses), sum(model.losses), rtol=1e-6)


def test_what_cannot_be_tied_is_refused():
    with pytest.raises(ValueError, match=r"must be of one shape, but they are .*units=\(64,\)"):
        keras_mtl.build_model(
            encoders.Dense(4, units=[8]),
            [tasks.Regression("a"), tasks.MultiClass("b", classes=3)],
            sharing.Covariance(units=()),
        )
    for wrong, message in (
        ({"strength": -1.0}, "`strength` is -1.0"),
        ({"every": 0}, "`every` is 0"),
        ({"prior": "vector"}, r"expected one of \['matrix', 'tensor'\]"),
        ({"prior": "tensor", "units": ()}, r"such as units=\(64,\)"),
        ({"units": (0,)}, "widths of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            sharing.Covariance(**wrong)
