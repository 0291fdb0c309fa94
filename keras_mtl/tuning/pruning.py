"""When a trial is given up before its last epoch."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Pruning:
    """A trial is given up when on every task it is worse than the median trial was by then.

    At the end of an epoch, its best score so far of each task is held against the median of the
    scores that finished trials had at that epoch. A trial that keeps up on one task goes on, because
    it may end on the Pareto front. This is the median rule (Golovin et al., "Google Vizier: A
    Service for Black-Box Optimization", KDD 2017), asked of every task; Optuna prunes studies of one
    objective alone.

    Args:
        trials: How many trials must have finished before one is given up.
        epochs: How many epochs each trial has in any case.

    Raises:
        ValueError: If a number is below 1.
    """

    trials: int = 5
    epochs: int = 1

    def __post_init__(self) -> None:
        if self.trials < 1 or self.epochs < 1:
            raise ValueError(
                f"Pruning came with trials={self.trials}, epochs={self.epochs}; expected 1 or more of "
                "each (prune=None never gives a trial up)."
            )

    def falls_behind(
        self,
        scores: Sequence[Mapping[str, float]],
        finished: Sequence[Sequence[Mapping[str, float]]],
        higher_is_better: Mapping[str, bool],
    ) -> bool:
        """Whether a trial is given up now.

        Args:
            scores: Of the trial, `{task: value}` after each epoch up to now.
            finished: The same of each trial that has finished.
            higher_is_better: By task, whether more of it is better.

        Example:

        >>> others = [[{"a": 0.2}, {"a": value}] for value in (0.5, 0.6, 0.7)]
        >>> Pruning(trials=3).falls_behind([{"a": 0.1}, {"a": 0.55}], others, {"a": True})
        True
        """
        epoch = len(scores) - 1
        then = [curve[epoch] for curve in finished if len(curve) > epoch]
        if len(scores) < self.epochs or len(then) < self.trials:
            return False
        for task, more in higher_is_better.items():
            sign = 1.0 if more else -1.0
            # A score that is not defined is no reason to go on.
            known = [sign * found[task] for found in scores if np.isfinite(found[task])]
            others = [sign * found[task] for found in then if np.isfinite(found[task])]
            if not others or (known and max(known) >= np.median(others)):
                return False
        return True
