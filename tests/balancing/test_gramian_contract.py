"""Properties of every balancer that looks at the Gramian, on one set of hard gradients."""

import numpy as np
import pytest
from keras import ops

from keras_mtl import balancing
from keras_mtl.balancing import GramianBalancer
from tests.balancing._gramians import gramian, jacobians

NAMES = [n for n in balancing.names() if isinstance(balancing.get(n), GramianBalancer)]
# What each paper promises: no task's loss grows to first order.
HARMLESS = {"mgda": {}, "upgrad": {}, "dualproj": {}, "cagrad": {"c": 1.0}, "nash_mtl": {},
            "fairgrad": {}, "config": {}}  # fmt: skip
RANDOM = {"pcgrad", "gradvac"}
# At a first step these are the same by definition; what they do later, or to losses, tells them apart.
SAME_AT_FIRST = [
    {"pcgrad", "gradvac"},
    {"mgda", "cr_mogm"},
    {"imtl_g", "imtl"},
    {"gradnorm", "excess_mtl"},
]


def weigh(name, matrix, losses=None, present=None, **options):
    k = len(matrix)
    made = type(balancing.get(name))(**options)
    made.bind([f"t{i}" for i in range(k)])
    losses = np.ones(k, "float32") if losses is None else losses
    present = np.ones(k, bool) if present is None else present
    return np.asarray(made.weigh(ops.convert_to_tensor(matrix), losses, present))


@pytest.mark.parametrize("k", [1, 2, 5, 16])
@pytest.mark.parametrize("name", NAMES)
def test_weights_are_finite_whatever_the_gradients(name, k):
    for kind, jacobian in jacobians(k).items():
        weights = weigh(name, gramian(jacobian))
        assert np.isfinite(weights).all(), kind
        assert np.isfinite(weights @ jacobian).all(), kind


@pytest.mark.parametrize("name", NAMES)
def test_forty_tasks(name):
    assert np.isfinite(weigh(name, gramian(jacobians(40)["random"]))).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_is_absent_has_no_say(name):
    """The weights of the others are those of a model without it."""
    for kind in ("random", "aligned", "conflicting"):
        jacobian = jacobians(5)[kind]
        present = np.array([True, False, True, True, False])
        losses = np.array([1.0, 0.0, 2.0, 0.5, 0.0], "float32")
        gone = np.where(present[:, None], jacobian, 0).astype("float32")
        got = weigh(name, gramian(gone), losses, present)
        assert not got[~present].any()
        if name not in RANDOM:
            alone = weigh(name, gramian(jacobian[present]), losses[present])
            np.testing.assert_allclose(got[present], alone, rtol=2e-3, atol=2e-4, err_msg=kind)
    assert not weigh(name, np.zeros((3, 3), "float32"), present=np.zeros(3, bool)).any()


# For PCD one task comes first.
@pytest.mark.parametrize("name", sorted(set(NAMES) - RANDOM - {"pcd"}))
def test_the_order_of_the_tasks_does_not_matter(name):
    jacobian, order = jacobians(5)["random"], np.array([3, 0, 4, 1, 2])
    losses = np.arange(1, 6).astype("float32")
    straight = weigh(name, gramian(jacobian), losses)
    other = weigh(name, gramian(jacobian[order]), losses[order])
    np.testing.assert_allclose(other, straight[order], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "options"), HARMLESS.items())
def test_no_task_is_harmed_where_the_paper_promises_it(name, options):
    for k in (2, 3, 8):
        for kind in ("random", "aligned", "low rank", "identical", "a zero row", "tiny"):
            jacobian = jacobians(k)[kind].astype("float64")
            step = weigh(name, gramian(jacobian.astype("float32")), **options) @ jacobian
            # Against the gradients, not the step: many tasks of a low rank leave no step but none.
            slopes = jacobian @ step / np.square(jacobian).sum(1).max()
            assert (slopes >= -2e-3).all(), (kind, k, slopes)


def test_no_two_methods_agree_on_all_problems():
    found = {}
    for name in NAMES:
        parts = []
        for kind in ("random", "conflicting", "aligned"):
            jacobian = jacobians(4)[kind]
            parts.append(weigh(name, gramian(jacobian), np.arange(1, 5).astype("float32")))
        found[name] = np.concatenate(parts)
    for one in NAMES:
        for other in NAMES:
            if one < other and {one, other} not in SAME_AT_FIRST:
                assert not np.allclose(found[one], found[other], rtol=1e-3), (one, other)
