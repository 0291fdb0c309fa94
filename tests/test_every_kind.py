"""The same seed gives the same bits, and two replicas give what one device does: for every method."""

import numpy as np
import pytest

from keras_mtl import balancing, sharing
from tests.every_kind import results

# What draws, what keeps a memory, and what has experts.
COMPILED = ("pcgrad", "moco", "mmoe")


@pytest.mark.slow
def test_every_method_gives_the_same_bits_again_and_on_two_replicas_what_it_does_on_one():
    """Labels that are missing are unevenly spread: a replica may have none of a task."""
    one, again, two = results(), results(), results(replicas=2)
    kinds = {f"balancer/{n}" for n in balancing.names()} | {f"scheme/{n}" for n in sharing.names()}
    assert {key.rsplit("/", 1)[0].removesuffix("/history") for key in one} == kinds
    assert one.keys() == again.keys() and len(one) > 8 * len(kinds)
    for key, value in one.items():
        np.testing.assert_array_equal(value, again[key], err_msg=key)
    of_balancers = {key for key in one if key.startswith("balancer/")}
    assert of_balancers == set(two)
    for key in of_balancers:
        np.testing.assert_allclose(two[key], one[key], rtol=1e-3, atol=1e-4, err_msg=key)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_compiled():
    one, two = (results(how="compiled", names=COMPILED) for _ in range(2))
    assert one.keys() == two.keys() and len({key.split("/")[1] for key in one}) == len(COMPILED)
    for key, value in one.items():
        np.testing.assert_array_equal(value, two[key], err_msg=key)
