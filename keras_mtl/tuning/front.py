"""Which of several results no other one beats on every task."""

from collections.abc import Mapping, Sequence

import numpy as np


def pareto_front(
    scores: Sequence[Mapping[str, float]], higher_is_better: Mapping[str, bool]
) -> list[int]:
    """The results that no other one beats: as good on every task, and better on one.

    Results that are alike are on the front together.

    Args:
        scores: Of each result, `{task: value}`.
        higher_is_better: By task, whether more of it is better.

    Returns:
        Indices into `scores`, from the best to the worst on the first task.

    Raises:
        ValueError: If a result has no score of a task, or one that is no number.

    Example: the third is as good as the first on `f1`, and worse on `error`.

    >>> found = [{"f1": 0.9, "error": 3.0}, {"f1": 0.8, "error": 2.0}, {"f1": 0.9, "error": 4.0}]
    >>> pareto_front(found, {"f1": True, "error": False})
    [0, 1]
    """
    if not scores:
        return []
    points = _signed(scores, higher_is_better)
    kept = []
    for i, point in enumerate(points):
        others = points[(points >= point).all(axis=1)]
        if not (others > point).any():
            kept.append(i)
    return sorted(kept, key=lambda i: tuple(-points[i]))


def best_of(
    scores: Sequence[Mapping[str, float]],
    higher_is_better: Mapping[str, bool],
    weights: Mapping[str, float] | None = None,
) -> int:
    """The result with the largest weighted mean; each task's worst result counts 0, its best 1.

    Args:
        scores: Of each result, `{task: value}`.
        higher_is_better: By task, whether more of it is better.
        weights: By task, how much it counts; 1 where a task is not named.

    Returns:
        An index into `scores`; of equals, the first.

    Raises:
        ValueError: If there is no result, a task is unknown, or weights are negative or all zero.
    """
    if not scores:
        raise ValueError("There is no finished result to choose from; let more trials finish.")
    unknown = [task for task in weights or {} if task not in higher_is_better]
    shares = np.array([float((weights or {}).get(task, 1.0)) for task in higher_is_better])
    if unknown or not (shares >= 0).all() or not shares.sum() > 0:
        raise ValueError(
            f"`weights` came as {dict(weights or {})}; expected numbers that are not negative, and "
            f"not all zero, of the tasks {list(higher_is_better)}."
        )
    points = _signed(scores, higher_is_better)
    worst, best = points.min(axis=0), points.max(axis=0)
    scaled = (points - worst) / np.where(best > worst, best - worst, 1.0)
    return int(np.argmax(scaled @ shares))


def _signed(
    scores: Sequence[Mapping[str, float]], higher_is_better: Mapping[str, bool]
) -> np.ndarray:
    """`(n, K)`, more of which is better."""
    for i, found in enumerate(scores):
        for task in higher_is_better:
            if not np.isfinite(found.get(task, np.nan)):
                raise ValueError(
                    f"Result {i} has the score {found.get(task)} of task {task!r}; expected a finite "
                    "number for every task."
                )
    signs = np.array([1.0 if better else -1.0 for better in higher_is_better.values()])
    return signs * np.array([[found[task] for task in higher_is_better] for found in scores])
