"""Branched: a stack at one end, towers at the other, and in between who shares which layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.sharing.branched import Branched
from tests.sharing._scheme_checks import (
    NAMES,
    affine,
    check_mask,
    check_positions,
    check_training,
    connected,
    relu,
    separate,
)

TOGETHER, APART = [["a", "b", "c"]], [["a"], ["b"], ["c"]]
TREE = [TOGETHER, [["c"], ["b", "a"]], APART]


def dense(scheme, layer, group, x):
    return relu(affine(x, scheme.levels[layer].towers[group]))


def test_each_task_reads_the_layers_of_its_groups(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Branched(TREE, units=[5, 4, 2])
    out = connected(scheme, x)
    trunk = dense(scheme, 0, 0, x)
    of_c, of_both = dense(scheme, 1, 0, trunk), dense(scheme, 1, 1, trunk)
    for i, hidden in enumerate([of_both, of_both, of_c]):
        expected = dense(scheme, 2, i, hidden)
        np.testing.assert_allclose(out[NAMES[i]], expected, rtol=1e-4, atol=1e-6)
    nodes = [(3, 5), (5, 4), (5, 4), (4, 2), (4, 2), (4, 2)]
    assert scheme.count_params() == sum(i * o + o for i, o in nodes)
    kernels = [np.asarray(tower.kernel) for tower in scheme.levels[2].towers]
    assert all((kernels[0] != other).any() for other in kernels[1:])


def test_all_in_one_group_is_one_stack(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Branched([TOGETHER, TOGETHER], units=[5, 2])
    out = connected(scheme, x)
    expected = dense(scheme, 1, 0, dense(scheme, 0, 0, x))
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-6)
    assert scheme.count_params() == 3 * 5 + 5 + 5 * 2 + 2


def test_all_apart_is_a_tower_a_task(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Branched([APART, APART], units=[5, 2])
    out, expected = connected(scheme, x), separate(scheme, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-4, atol=1e-6)


def test_by_default_tasks_part_at_the_last_layer(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Branched(units=[5, 4, 2])
    connected(scheme, x)
    assert scheme.tree() == [TOGETHER, TOGETHER, APART]
    assert scheme.count_params() == (3 * 5 + 5) + (5 * 4 + 4) + 3 * (4 * 2 + 2)
    one = Branched(units=2)
    connected(one, x)
    assert one.tree() == [APART]


def test_a_tasks_loss_reaches_its_branch_and_no_other(rng):
    x = rng.normal(size=(8, 3)).astype("float32")
    scheme = Branched(TREE, units=[5, 4, 2], activation="tanh")
    connected(scheme, x)
    owners = {}
    for level, partition in zip(scheme.levels, scheme.tree(), strict=True):
        for tower, group in zip(level.towers, partition, strict=True):
            owners.update({v.path: set(group) for v in tower.trainable_variables})
    assert set(owners) == {v.path for v in scheme.trainable_variables}
    for name in NAMES:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(scheme(x)[name])
        gradients = tape.gradient(loss, [v.value for v in scheme.trainable_variables])
        reached = {
            v.path
            for v, g in zip(scheme.trainable_variables, gradients, strict=True)
            if g is not None and np.abs(g).max() > 0
        }
        assert reached == {path for path, group in owners.items() if name in group}


def test_it_trains_compiled_and_comes_back(tmp_path, rng):
    groups = [[["b", "a"]], [["b"], ["a"]]]
    model, loaded = check_training(
        lambda: Branched(groups, units=[5, 4]), tmp_path / "m.keras", rng, "mixed_float16"
    )
    for found in (model, loaded):
        (scheme,) = (layer for layer in found.layers if isinstance(layer, Branched))
        assert scheme.tree() == groups and list(scheme.task_names) == ["a", "b"]


def test_positions_and_masks(rng):
    check_positions(lambda: Branched(TREE, units=[5, 4, 2]), rng)
    check_mask(Branched)


def test_what_it_does_is_in_its_config():
    config = Branched(TREE, units=[5, 4, 2], activation="tanh").get_config()
    assert config["groups"] == TREE
    again = Branched.from_config(config)
    assert (again.tree(), again.units, again.activation) == (TREE, [5, 4, 2], "tanh")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (
            {"groups": [TOGETHER]},
            ValueError,
            r"for 1 layers, but `units` gives 2 layers \[64, 64\]",
        ),
        ({"groups": [APART, TOGETHER]}, ValueError, r"\['a', 'b', 'c'\] together in layer 1"),
        (
            {"groups": [[["a", "b"], ["c"]], [["a", "c"], ["b"]]]},
            ValueError,
            r"\['a', 'c'\] together in layer 1, but apart in layer 0",
        ),
        (
            {"groups": [TOGETHER, [["a", "b"], ["b", "c"]]]},
            ValueError,
            r"\['b'\] more than once in",
        ),
        (
            {"groups": [TOGETHER, [["a", "a"], ["b", "c"]]]},
            ValueError,
            r"\['a'\] more than once in",
        ),
        (
            {"groups": [TOGETHER, [["a"], ["b"]]]},
            ValueError,
            r"names the tasks \['a', 'b'\] in layer 1",
        ),
        ({"groups": [TOGETHER, [["a", "b", "c"], []]]}, ValueError, "without tasks in layer 1"),
        ({"groups": [TOGETHER, []]}, ValueError, "without tasks in layer 1"),
        (
            {"groups": [["ab", "c"], ["ab"]]},
            TypeError,
            r"has \['ab', 'c'\] for layer 0; expected a",
        ),
        ({"groups": ["ab", "c"]}, TypeError, "has 'ab' for layer 0"),
        ({"units": [5, 0]}, ValueError, "at least 1"),
    ],
)
def test_what_it_refuses(arguments, error, words):
    with pytest.raises(error, match=words):
        Branched(**arguments)


def test_groups_of_other_tasks_are_refused_once_the_tasks_are_known():
    features = keras.Input((3,))
    with pytest.raises(ValueError, match=r"leaves out \['d'\]; expected each of the tasks"):
        Branched([TOGETHER, APART]).connect(features, [*NAMES, "d"])
    with pytest.raises(ValueError, match=r"`groups` names task 'c'.*\['a', 'b'\]"):
        Branched([TOGETHER, APART]).connect(features, ["a", "b"])
