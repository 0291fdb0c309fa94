"""PBI: losses in a given proportion, as small as they can be."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer
from keras_mtl.balancing._preference import check_numbers, vector_of


def boundary_intersection(losses: Any, present: Any, proportion: Any, *, theta: float) -> Any:
    """`d_1 + theta d_2`: how far the losses are along a direction, and away from it, `()`."""
    there = ops.cast(present, "float32")
    direction = there * proportion
    norm = ops.sqrt(ops.sum(ops.square(direction)))
    direction = direction / ops.where(norm > 0, norm, 1.0)
    losses = there * losses
    along = ops.sum(losses * direction)
    # The root has no slope at 0, where the losses lie on the direction.
    away = ops.sqrt(ops.sum(ops.square(losses - along * direction)) + 1e-12)
    return along + ops.where(ops.sum(there) > 1, theta * away, 0.0)


@keras.saving.register_keras_serializable("keras_mtl")
class PBI(LossBalancer):
    """Minimises the losses along a direction, and penalises what is off it.

    Penalty-based boundary intersection, of evolutionary multi-objective optimisation: the proportions
    of the losses are the user's choice, and the weights follow. They may be negative.

    Zhang and Li, "MOEA/D: A Multiobjective Evolutionary Algorithm Based on Decomposition", IEEE
    Transactions on Evolutionary Computation 11(6), 2007.

    Args:
        proportion: The losses' wanted proportions by task name; 1 where a task is not named.
        theta: How strongly other proportions are penalised; the paper uses 5.

    Raises:
        TypeError: If the proportions are not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    def __init__(
        self, proportion: Mapping[str, float] | None = None, theta: float = 5.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if not theta >= 0:
            raise ValueError(f"`theta` is {theta!r}; expected a number that is not negative.")
        self.proportion = check_numbers("proportion", proportion)
        self.theta = float(theta)

    def make_state(self, k: int) -> None:
        self._proportion = vector_of("proportion", self.proportion, self.task_names, 1.0)

    def objective(self, losses: Any, present: Any) -> Any:
        return boundary_intersection(losses, present, self._proportion, theta=self.theta)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "proportion": dict(self.proportion), "theta": self.theta}
