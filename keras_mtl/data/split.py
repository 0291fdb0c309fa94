"""Splitting rows, with the labels of several tasks spread alike over all parts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl.data._columns import Column
from keras_mtl.data._columns import Sequences as SequenceColumn
from keras_mtl.data.examples import Examples

_BINS = 5


def split(
    examples: Examples,
    fractions: Sequence[float] | Mapping[str, float] = (0.8, 0.1, 0.1),
    *,
    stratify: bool | Iterable[str] = True,
    seed: int = 0,
) -> Any:
    """Cuts rows into disjoint parts that have about the same labels, task by task.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, "On the Stratification of
    Multi-Label Data", ECML PKDD 2011): the rarest label still to be dealt goes first, each row to
    the part that wants that label most. A missing label is a label of its own; numbers are binned
    into fifths; sequences are not stratified by.

    Args:
        examples: The rows.
        fractions: The share of each part; a dict gives the parts names.
        stratify: True for all tasks, False for a random split, or the tasks to go by.
        seed: Makes the split repeatable.

    Returns:
        The parts, as a tuple in the order of `fractions`, or as a dict with its names.

    Raises:
        ValueError: If fractions are not positive or do not sum to 1, a task is unknown, or a part
            would be empty.
    """
    names = list(fractions) if isinstance(fractions, Mapping) else None
    shares = np.array([fractions[n] for n in names] if isinstance(fractions, Mapping) and names
                      else list(fractions), "float64")  # fmt: skip
    if len(shares) < 2 or (shares <= 0).any() or not np.isclose(shares.sum(), 1):
        raise ValueError(
            f"`fractions` is {fractions!r}; expected at least two positive shares that sum to 1."
        )
    tasks = list(examples.labels) if stratify is True else list(stratify or [])
    unknown = [task for task in tasks if task not in examples.labels]
    if unknown:
        raise ValueError(
            f"`stratify` names the tasks {unknown}, but labels are of {list(examples.labels)}."
        )
    rng = np.random.default_rng(seed)
    strata = [_strata(examples.labels[task]) for task in tasks]
    part = _deal(len(examples), [s for s in strata if s is not None], shares, rng)
    counts = np.bincount(part, minlength=len(shares))
    if (counts == 0).any():
        raise ValueError(
            f"{len(examples)} rows cannot be split by {list(shares)}: a part would be empty; give "
            "more rows or fewer parts."
        )
    parts = [examples.select(np.flatnonzero(part == p)) for p in range(len(shares))]
    return dict(zip(names, parts, strict=True)) if names else tuple(parts)


def _deal(
    rows: int, strata: list[np.ndarray], shares: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    part = np.full(rows, -1)
    wanted_rows = shares * rows
    # One indicator column for each label of each task.
    indicators = [s == value for s in strata for value in np.unique(s)]
    table = np.stack(indicators, axis=1) if indicators else np.ones((rows, 1), bool)
    wanted = np.outer(table.sum(0), shares)
    left = np.ones(rows, bool)
    while left.any():
        counts = table[left].sum(0)
        rarest = int(np.argmin(np.where(counts > 0, counts, rows + 1)))
        if counts[rarest] == 0:
            break
        for row in rng.permutation(np.flatnonzero(left & table[:, rarest])):
            want = wanted[:, :][rarest]
            best = np.flatnonzero(want == want.max())
            if len(best) > 1:
                room = wanted_rows[best]
                best = best[room == room.max()]
            chosen = int(best[0] if len(best) == 1 else rng.choice(best))
            part[row] = chosen
            left[row] = False
            wanted[table[row], chosen] -= 1
            wanted_rows[chosen] -= 1
    return part


def _strata(labels: Column) -> np.ndarray | None:
    """One stratum id a row, or None where a task is not to be stratified by."""
    if isinstance(labels, SequenceColumn):
        return None
    columns = labels.reshape(len(labels), -1)
    if labels.dtype.kind == "f":
        return _code([_bins(columns[:, d]) for d in range(columns.shape[1])])
    return _code([columns[:, d] for d in range(columns.shape[1])])


def _bins(values: np.ndarray) -> np.ndarray:
    there = ~np.isnan(values)
    different = np.unique(values[there])
    if len(different) <= _BINS:
        codes = np.searchsorted(
            different, np.where(there, values, different[:1] if len(different) else 0)
        )
    else:
        edges = np.quantile(values[there], np.arange(1, _BINS) / _BINS)
        codes = np.searchsorted(edges, np.where(there, values, 0.0))
    return np.where(there, codes, -1)


def _code(columns: list[np.ndarray]) -> np.ndarray:
    return np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
