"""Which domains of a batch are compared, and the mean over these comparisons."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_mtl.alignment._alignment import Alignment

# Up to so many domains there is a comparison for each pair of them.
_EVERY_PAIR = 8


class DomainAlignment(Alignment, abc.ABC):
    """An alignment of a known number of domains; write `penalty`.

    Args:
        domains: How many domains there are; labels are 0 to `domains - 1`, and rows with any other
            take no part.

    Raises:
        ValueError: If there are not two domains at the least.
    """

    def __init__(self, domains: int, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(domains, bool) or int(domains) != domains or domains < 2:
            raise ValueError(
                f"`domains` of alignment.{type(self).__name__} is {domains!r}; expected how many "
                "domains there are, a whole number of at least 2."
            )
        self.domains = int(domains)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "domains": self.domains}


def memberships(domains: Any, count: int) -> Any:
    """1 where a row is of a domain, `(count, B)` in float32; no 1 for a row of none of them."""
    each = ops.expand_dims(ops.arange(count, dtype="int32"), 1)
    return ops.cast(ops.equal(each, domains), "float32")


def mean_over_pairs(
    distance: Callable[[Any, Any, Any, Any], Any],
    features: Any,
    domains: Any,
    count: int,
    strata: Any = None,
) -> Any:
    """The mean distance of two domains, `()`, over those pairs of which both have two rows or more.

    Up to 8 domains every pair is compared, from more on each domain with all the others together, so
    that the cost grows with the domains and not with their square.

    Args:
        distance: `(x, y, x_weights, y_weights)`, of weights `(P, B)` to `(P,)`; 0 where a side has
            fewer than two rows.
        features: `(B, d)`.
        domains: `(B,)` integers.
        count: How many domains there are.
        strata: `(S, B)`, 1 where a row is of a stratum: rows are compared within each of them alone.
    """
    first = memberships(domains, count)
    if strata is not None:
        first = ops.expand_dims(strata, 1) * first
    if count <= _EVERY_PAIR:
        left, right = np.triu_indices(count, 1)
        first, second = ops.take(first, left, axis=-2), ops.take(first, right, axis=-2)
    else:
        second = ops.sum(first, axis=-2, keepdims=True) - first
    if strata is not None:
        first, second = (ops.reshape(x, (-1, ops.shape(x)[-1])) for x in (first, second))
    compared = ops.logical_and(ops.sum(first, axis=1) >= 2, ops.sum(second, axis=1) >= 2)
    # Not by a vectorized map, whose gradient XLA compiles anew for each batch.
    distances = distance(features, features, first, second)
    return ops.sum(distances) / ops.maximum(ops.sum(ops.cast(compared, "float32")), 1.0)
