"""The same seed gives the same bits, and two replicas give what one device does: for every method."""

import numpy as np
import pytest

from keras_mtl import balancing, sharing
from tests.every_kind import results

KINDS = [f"balancer/{name}" for name in balancing.names()] + [
    f"scheme/{name}" for name in sharing.names()
]


# What draws, what keeps a memory, and what has experts.
COMPILED = ("pcgrad", "moco", "mmoe")


def of(kind: str, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: value for key, value in found.items() if key.startswith(f"{kind}/")}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bits_in_another_process(kind):
    one, two = of(kind, results()), of(kind, results(again=1))
    assert one.keys() == two.keys() and len(one) > 8
    for key, value in one.items():
        np.testing.assert_array_equal(value, two[key], err_msg=key)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_compiled():
    one, two = (results(again=i, how="compiled", names=COMPILED) for i in range(2))
    assert one.keys() == two.keys() and len({key.split("/")[1] for key in one}) == len(COMPILED)
    for key, value in one.items():
        np.testing.assert_array_equal(value, two[key], err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", balancing.names())
def test_two_replicas_give_what_one_device_does(name):
    """Labels that are missing are unevenly spread: a replica may have none of a task."""
    one, two = (of(f"balancer/{name}", results(replicas)) for replicas in (1, 2))
    assert one.keys() == two.keys()
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, rtol=1e-3, atol=1e-4, err_msg=key)
