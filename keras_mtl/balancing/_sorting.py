"""Sorting a few rows entry by entry: a network of exchanges, which compilers fuse; a sort they do not."""

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops


def in_order(rows: Sequence[Any]) -> list[Any]:
    """K tensors of one shape, at each entry the smallest first, by Batcher's odd-even mergesort.

    Batcher, "Sorting Networks and Their Applications", AFIPS 1968.

    >>> [float(x) for x in in_order([3.0, 1.0, 2.0])]
    [1.0, 2.0, 3.0]
    """
    rows = list(rows)
    for low, high in _exchanges(len(rows)):
        rows[low], rows[high] = (
            ops.minimum(rows[low], rows[high]),
            ops.maximum(rows[low], rows[high]),
        )
    return rows


def _exchanges(n: int) -> Iterator[tuple[int, int]]:
    size = 1
    while size < n:
        step = size
        while step >= 1:
            for begin in range(step % size, n - step, 2 * step):
                for i in range(begin, min(begin + step, n - step)):
                    if i // (2 * size) == (i + step) // (2 * size):
                        yield i, i + step
            step //= 2
        size *= 2
