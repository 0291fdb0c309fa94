"""Nash-MTL: the tasks bargain for the step."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._fair import fair_weights
from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._scaling import cosines, lengths, matvec


def nash_mtl_weights(gramian: Any, present: Any, *, max_norm: float) -> Any:
    """The positive solution of `G w = 1 / w`, shortened to a step of `max_norm`, `(K,)`."""
    weights = present * fair_weights(gramian, alpha=1.0)
    if not max_norm:
        return weights
    # In terms of gradients of unit length, whose products neither overflow nor vanish.
    parts = weights * lengths(gramian)
    length = ops.sqrt(ops.maximum(ops.sum(parts * matvec(cosines(gramian), parts)), 0.0))
    return weights * (max_norm / ops.maximum(length, max_norm))


@keras.saving.register_keras_serializable("keras_mtl")
class NashMTL(GramianBalancer):
    """Takes the Nash bargaining solution: the step that the product of the tasks' gains is largest for.

    Blind to the scale of the losses: the step has the length `sqrt(K)`, or `max_norm` if that is less.

    Navon et al., "Multi-Task Learning as a Bargaining Game", ICML 2022, arXiv:2202.01017.

    Args:
        max_norm: The longest step before the learning rate; 0 for what the
            equation gives. The paper's code has 1.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `max_norm` is negative.
    """

    def __init__(self, max_norm: float = 1.0, gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        if not max_norm >= 0:
            raise ValueError(f"`max_norm` is {max_norm!r}; expected a number that is not negative.")
        self.max_norm = float(max_norm)

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return nash_mtl_weights(gramian, present, max_norm=self.max_norm)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_norm": self.max_norm}
