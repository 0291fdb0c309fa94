"""The metrics of tasks over rows that count several times or not at all, many samples at once.

A bootstrap asks for each metric a thousand times. Most are sums over rows, so that all resamples are
one matrix product of how often each row was drawn, `(R, n)`, and what it adds, `(n, k)`; areas under
curves need one sort. `_bootstrap` checks them against `task.score` before it believes them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._spans import span_counts

Weighted = Callable[[np.ndarray], dict[str, np.ndarray]]


def weighted_metrics(judged: Judged) -> Weighted:
    """A function from how often each row counts, `(R, n)` float64, to `{metric: (R,)}`.

    Metrics that are not defined are NaN; a kind without a fast way has none.
    """
    made = _KINDS.get(judged.kind)
    return (lambda weights: {}) if made is None else made(judged)


def weighted_auc(chances: np.ndarray, yes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The area under the receiver operating characteristic, `(R,)`, of `(n,)`, `(n,)`, `(R, n)`."""
    above, below = _by_chance(chances, yes, weights)
    earlier = np.cumsum(below, axis=1) - below
    pairs = np.sum(above * (earlier + 0.5 * below), axis=1)
    with np.errstate(invalid="ignore"):
        return pairs / (above.sum(axis=1) * below.sum(axis=1))


def weighted_average_precision(
    chances: np.ndarray, yes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The sum of precision times gain of recall over thresholds, `(R,)`."""
    above, below = _by_chance(-chances, yes, weights)
    found, taken = np.cumsum(above, axis=1), np.cumsum(above + below, axis=1)
    with np.errstate(invalid="ignore"):
        precision = np.where(taken > 0, found / np.where(taken > 0, taken, 1), 0.0)
        return np.sum(precision * above, axis=1) / above.sum(axis=1)


def _by_chance(
    chances: np.ndarray, yes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights of yes and of no at each distinct chance, rising: `(R, U)` each."""
    order = np.argsort(chances, kind="stable")
    sorted_chances = chances[order]
    first = np.concatenate([[True], sorted_chances[1:] != sorted_chances[:-1]])
    places = np.flatnonzero(first)
    drawn, positive = weights[:, order], yes[order]
    above = np.add.reduceat(drawn * positive, places, axis=1)
    below = np.add.reduceat(drawn * ~positive, places, axis=1)
    return above, below


def _ratio(over: np.ndarray, under: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.where(under > 0, over / np.where(under > 0, under, 1), empty)


def _f1(hits: np.ndarray, said: np.ndarray, true: np.ndarray) -> np.ndarray:
    return _ratio(2 * hits, said + true, 0.0)


def _yes_no(judged: Judged) -> Weighted:
    yes, said, chances = judged.ids == 1, judged.decided == 1, judged.chances
    right = judged.ids == judged.decided
    both = bool(yes.any()) and bool((~yes).any())

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        sums = weights @ np.stack([right, yes & said, said, yes], axis=1).astype("float64")
        found = {
            "accuracy": sums[:, 0] / weights.sum(axis=1),
            "f1": _f1(sums[:, 1], sums[:, 2], sums[:, 3]),
        }
        if both:
            found["auc"] = weighted_auc(chances, yes, weights)
            found["average_precision"] = weighted_average_precision(chances, yes, weights)
        return found

    return metrics


def _one_class(judged: Judged) -> Weighted:
    true, said = judged.ids, judged.decided
    ids = np.unique(true)
    hits, given, had = (
        np.stack(rows, axis=1).astype("float64")
        for rows in zip(
            *(((true == i) & (said == i), said == i, true == i) for i in ids), strict=True
        )
    )
    off = (true - said).astype("float64")
    rows = np.stack([true == said, np.abs(off), off**2, true, said, true**2, said**2], axis=1)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        n = weights.sum(axis=1)
        right, size, square, t, s, t2, s2 = (weights @ rows.astype("float64")).T
        f1 = _f1(weights @ hits, weights @ given, weights @ had)
        drawn = (weights @ had) > 0
        # Cohen's kappa with quadratic weights by the two marginals' moments.
        chance = n * t2 + n * s2 - 2 * t * s
        return {
            "accuracy": right / n,
            "macro_f1": np.sum(f1 * drawn, axis=1) / drawn.sum(axis=1),
            "mae": size / n,
            "quadratic_kappa": _ratio(chance - n * square, chance),
        }

    return metrics


def _classes(judged: Judged) -> Weighted:
    there, yes, said = judged.ids >= 0, judged.ids == 1, judged.decided == 1
    right = (there & (judged.ids == judged.decided)).sum(axis=1)
    counted = np.stack([right, there.sum(axis=1)], axis=1).astype("float64")
    parts = [(there & yes & said), (there & said), (there & yes)]

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        hits, given, had = (weights @ part.astype("float64") for part in parts)
        sums = weights @ counted
        drawn = had > 0
        areas = []
        for c in range(there.shape[1]):
            rows = there[:, c]
            if yes[rows, c].any() and (~yes[rows, c]).any():
                areas.append(weighted_auc(judged.chances[rows, c], yes[rows, c], weights[:, rows]))
        known = np.isfinite(np.stack(areas, axis=1)) if areas else np.zeros((len(weights), 0), bool)
        total = np.nansum(areas, axis=0) if areas else np.zeros(len(weights))
        return {
            "accuracy": _ratio(sums[:, 0], sums[:, 1]),
            "macro_f1": _ratio(
                np.sum(_f1(hits, given, had) * drawn, axis=1), drawn.sum(axis=1).astype("float64")
            ),
            "micro_f1": _f1(hits.sum(axis=1), given.sum(axis=1), had.sum(axis=1)),
            "macro_auc": _ratio(total, known.sum(axis=1).astype("float64")),
        }

    return metrics


def _numbers(judged: Judged) -> Weighted:
    true, said = judged.numbers
    there = (~np.isnan(true)).astype("float64")
    off = np.where(there > 0, said - true, 0.0)
    # About their mean, so that sums of squares lose no digits.
    centred = np.where(there > 0, true - np.nanmean(true, axis=0), 0.0)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        n, square = weights @ there, weights @ off**2
        total = n.sum(axis=1)
        spread = weights @ centred**2 - _ratio((weights @ centred) ** 2, n, 0.0)
        r2 = 1 - _ratio(square, spread)
        defined = (n > 1) & np.isfinite(r2)
        return {
            "rmse": np.sqrt(_ratio(square.sum(axis=1), total)),
            "mae": _ratio((weights @ np.abs(off)).sum(axis=1), total),
            "r2": _ratio(
                np.sum(np.where(defined, r2, 0.0), axis=1), defined.sum(axis=1).astype("float64")
            ),
        }

    return metrics


def _tags(judged: Judged) -> Weighted:
    counts = sum(span_counts(judged).values(), np.zeros((len(judged.ids), 3)))
    there = judged.there
    right = there & (judged.ids == judged.decided)
    whole = right.sum(axis=1) == there.sum(axis=1)
    rows = np.column_stack([right.sum(axis=1), there.sum(axis=1), whole]).astype("float64")

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        hits, said, true = (weights @ counts).T
        tokens, of, exact = (weights @ rows).T
        return {
            "f1": _f1(hits, said, true),
            "precision": _ratio(hits, said, 0.0),
            "recall": _ratio(hits, true, 0.0),
            "accuracy": _ratio(tokens, of),
            "sequence_accuracy": exact / weights.sum(axis=1),
        }

    return metrics


_KINDS: Mapping[Kind, Any] = {
    Kind.YES_NO: _yes_no,
    Kind.ONE_CLASS: _one_class,
    Kind.CLASSES: _classes,
    Kind.NUMBERS: _numbers,
    Kind.TAGS: _tags,
}
