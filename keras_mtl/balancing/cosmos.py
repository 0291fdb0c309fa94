"""COSMOS: a weighted sum that is drawn to the preference's own direction."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer
from keras_mtl.balancing._preference import check_numbers, vector_of


def drawn_sum(losses: Any, present: Any, preference: Any, *, pull: float) -> Any:
    """`p^T L - pull cos(p, L)` over the tasks present, `()`."""
    there = ops.cast(present, "float32")
    wanted, losses = there * preference, there * losses
    total = ops.sum(wanted * losses)
    squares = ops.sum(ops.square(wanted)) * ops.sum(ops.square(losses))
    sound = squares > 0
    cosine = total * ops.where(sound, ops.rsqrt(ops.where(sound, squares, 1.0)), 0.0)
    return total - pull * cosine


@keras.saving.register_keras_serializable("keras_mtl")
class COSMOS(LossBalancer):
    """Minimises a weighted sum of the losses, less the cosine between the losses and the weights.

    The paper draws a preference for each batch and gives it to the network as an input too; here it
    is the user's, fixed.

    Ruchte and Grabocka, "Scalable Pareto Front Approximation for Deep Multi-Objective Learning",
    ICDM 2021, arXiv:2103.13392.

    Args:
        preference: Weight by task name; 1 where a task is not named.
        pull: The paper's lambda: how strongly the losses are drawn to the preference's direction; it
            uses 0.01 to 8.

    Raises:
        TypeError: If the preference is not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    needs_positive_losses = True

    def __init__(
        self, preference: Mapping[str, float] | None = None, pull: float = 1.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if not pull >= 0:
            raise ValueError(f"`pull` is {pull!r}; expected a number that is not negative.")
        self.preference = check_numbers("preference", preference)
        self.pull = float(pull)

    def make_state(self, k: int) -> None:
        self._preference = vector_of("preference", self.preference, self.task_names, 1.0)

    def objective(self, losses: Any, present: Any) -> Any:
        return drawn_sum(losses, present, self._preference, pull=self.pull)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "preference": dict(self.preference), "pull": self.pull}
