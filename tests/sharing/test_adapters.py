"""Adapters: none at the start, few weights, and what each kind computes."""

import keras
import numpy as np
import pytest

from keras_mtl.sharing.adapters import Adapters
from tests.sharing._scheme_checks import (
    NAMES,
    affine,
    check_mask,
    check_positions,
    check_training,
    connected,
    relu,
)

KINDS = ["bottleneck", "film", "lora"]


@pytest.mark.parametrize("shape", [(4, 10), (4, 5, 10), (2, 3, 4, 10)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_task_starts_with_the_shared_features(kind, shape, rng):
    x = rng.normal(size=shape).astype("float32")
    out = connected(Adapters(kind), x)
    for name in NAMES:
        np.testing.assert_array_equal(out[name], x)


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("bottleneck", 10 * 4 + 4 + 4 * 10 + 10),
        ("film", 10 + 10),
        ("lora", 10 * 4 + 4 * 10),
    ],
)
def test_a_task_has_few_weights_of_its_own(kind, count, rng):
    scheme = Adapters(kind, size=4)
    connected(scheme, rng.normal(size=(4, 10)).astype("float32"))
    assert scheme.count_params() == 3 * count


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_by_its_formula(kind, rng):
    x = rng.normal(size=(4, 10)).astype("float32")
    scheme = Adapters(kind, size=4)
    connected(scheme, x)
    for variable in scheme.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    out = connected(scheme, x)
    for k, name in enumerate(NAMES):
        if kind == "film":
            expected = np.asarray(scheme.scale)[k] * x + np.asarray(scheme.shift)[k]
        elif kind == "lora":
            a, b = (np.asarray(part.towers[k].kernel) for part in (scheme.down, scheme.up))
            expected = x + x @ (a @ b)
        else:
            down, up = scheme.down.towers[k], scheme.up.towers[k]
            expected = x + affine(relu(affine(x, down)), up)
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_one_training_step_tells_the_tasks_apart(kind, rng):
    x = rng.normal(size=(16, 10)).astype("float32")
    inputs = keras.Input((10,))
    scheme = Adapters(kind, size=4)
    model = keras.Model(inputs, scheme.connect(inputs, ["a", "b"]))
    if kind != "film":
        kernels = [np.asarray(tower.kernel) for tower in scheme.down.towers]
        assert (kernels[0] != kernels[1]).any()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.train_on_batch(x, {"a": 2 * x, "b": -x})
    out = model(x)
    assert np.abs(np.asarray(out["a"]) - np.asarray(out["b"])).max() > 1e-3


@pytest.mark.parametrize(
    ("kind", "policy"),
    [("bottleneck", "float32"), ("film", "mixed_float16"), ("lora", "mixed_float16")],
)
def test_it_trains_compiled_and_comes_back(kind, policy, tmp_path, rng):
    check_training(lambda: Adapters(kind, size=2), tmp_path / "m.keras", rng, policy)


@pytest.mark.parametrize("kind", KINDS)
def test_positions_and_masks(kind, rng):
    def changed():
        scheme = Adapters(kind, size=2)
        connected(scheme, np.zeros((2, 3), "float32"))
        for variable in scheme.trainable_variables:
            variable.assign(rng.normal(size=variable.shape))
        return scheme

    check_positions(changed, rng)
    check_mask(lambda: Adapters(kind))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"kind": "prefix"}, "expected one of"), ({"size": 0}, "at least 1")],
)
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        Adapters(**arguments)
