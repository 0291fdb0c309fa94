"""CGC: MMoE without specific experts, and experts that no other task reads with them."""

import numpy as np
import pytest

from keras_mtl.sharing.cgc import CGC
from keras_mtl.sharing.mmoe import MMoE
from tests.sharing._scheme_checks import NAMES, connected


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4)])
def test_without_specific_experts_it_is_mmoe(shape, rng):
    x = rng.normal(size=shape).astype("float32")
    cgc, mmoe = CGC(0, 3, units=(8, 5)), MMoE(3, units=(8, 5))
    connected(cgc, x), connected(mmoe, x)
    mmoe.set_weights(cgc.get_weights())
    expected, gates = connected(mmoe, x), mmoe.gates(x)
    for name, out in connected(cgc, x).items():
        np.testing.assert_allclose(out, expected[name], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(cgc.gates(x)[name], gates[name])


def test_specific_experts_that_all_agree_are_as_shared_ones(rng):
    """With one expert copied to all, gates do not matter: the output is that expert."""
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = CGC(2, 1, units=(5,))
    connected(scheme, x)
    level = scheme.extractions[0]
    kernel = np.asarray(level.shared_experts.hidden[0].kernel)[0]
    for bank in level.own_experts:
        bank.hidden[0].kernel.assign(np.stack([kernel, kernel]))
    for out in connected(scheme, x).values():
        np.testing.assert_allclose(out, np.maximum(x @ kernel, 0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("k", range(3))
def test_a_task_reads_its_own_specific_experts_alone(k, rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = CGC(2, 1, units=(5,))
    before = connected(scheme, x)
    scheme.extractions[0].own_experts[k].hidden[0].bias.assign(np.full((2, 5), 10.0))
    after = connected(scheme, x)
    for j, name in enumerate(NAMES):
        assert (
            (after[name] != before[name]).all() if j == k else (after[name] == before[name]).all()
        )


def test_gates_name_the_specific_experts_first(rng):
    x = rng.normal(size=(6, 4)).astype("float32")
    scheme = CGC(2, 1, units=(5,), activation="linear")
    connected(scheme, x)
    level = scheme.extractions[0]
    for bank in level.own_experts:
        bank.set_weights([np.zeros((2, 4, 5)), np.array([[1.0] * 5, [10.0] * 5])])
    level.shared_experts.set_weights([np.zeros((1, 4, 5)), np.full((1, 5), 100.0)])
    for name, out in connected(scheme, x).items():
        expected = np.asarray(scheme.gates(x)[name]) @ [1.0, 10.0, 100.0]
        np.testing.assert_allclose(out, np.repeat(expected[:, None], 5, 1), rtol=1e-5)
