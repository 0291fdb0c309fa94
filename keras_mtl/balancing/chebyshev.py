"""Weighted Chebyshev: the task that is worst off counts alone."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer
from keras_mtl.balancing._preference import check_numbers, vector_of


def weighted_maximum(losses: Any, present: Any, preference: Any, ideal: Any) -> Any:
    """`max_k p_k (L_k - z_k)` over the tasks present, `()`; 0 if there is none."""
    worst = ops.max(ops.where(present, preference * (losses - ideal), -1e30))
    return ops.where(ops.any(present), worst, 0.0)


@keras.saving.register_keras_serializable("keras_mtl")
class Chebyshev(LossBalancer):
    """Minimises the largest of the losses' weighted distances from the best that they could be.

    Unlike a weighted sum it reaches every point of a Pareto front, whatever its shape. One task alone
    moves what is shared at a step, with its preference as the weight; `STCH` is the smooth form.

    Bowman, "On the Relationship of the Tchebycheff Norm and the Efficient Frontier of
    Multiple-Criteria Objectives", 1976; Miettinen, "Nonlinear Multiobjective Optimization", 1999.

    Args:
        preference: How much each task's loss counts, by name; 1 where a task is not named.
        ideal: The least that each loss could be, by name; 0 where a task is not named.

    Raises:
        TypeError: If they are not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    def __init__(
        self,
        preference: Mapping[str, float] | None = None,
        ideal: Mapping[str, float] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.preference = check_numbers("preference", preference)
        self.ideal = check_numbers("ideal", ideal)

    def make_state(self, k: int) -> None:
        self._preference = vector_of("preference", self.preference, self.task_names, 1.0)
        self._ideal = vector_of("ideal", self.ideal, self.task_names, 0.0)

    def objective(self, losses: Any, present: Any) -> Any:
        return weighted_maximum(losses, present, self._preference, self._ideal)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "preference": dict(self.preference),
            "ideal": dict(self.ideal),
        }
