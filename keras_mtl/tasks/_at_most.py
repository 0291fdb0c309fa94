"""A yes that presupposes another: a penalty where its chance is taken for the greater one."""

from typing import Any

import keras
from keras import ops

from keras_mtl._prediction import ReadsOthers


def mean_excess(later: Any, earlier: Any) -> Any:
    """`mean(max(sigmoid(b) - sigmoid(a), 0))`, `()`: how much likelier b is said to be than a.

    Args:
        later: b, log-odds of what presupposes a.
        earlier: a, log-odds, the shape of b.
    """
    return ops.mean(ops.relu(ops.sigmoid(later) - ops.sigmoid(earlier)))


@keras.saving.register_keras_serializable("keras_mtl")
class AtMost(ReadsOthers):
    """Passes a task's scores on, and adds a loss in training where they are above another's.

    `strength * mean_excess`, in float32 whatever the model computes in; over all rows of the batch,
    since it asks for no label.

    Args:
        strength: Weight of the loss.
    """

    def __init__(self, strength: float, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.strength = float(strength)
        self.supports_masking = True

    def call(self, scores: Any, bound: Any, training: bool | None = None) -> Any:
        if training:
            self.add_loss(self.strength * mean_excess(scores, bound))
        return scores

    def compute_output_shape(self, scores_shape: Any, bound_shape: Any) -> Any:
        return scores_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strength": self.strength}
