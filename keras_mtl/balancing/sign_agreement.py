"""Sign agreement: entries at which the gradients point the same way."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gradient_balancer import GradientBalancer


def agreed(gradients: Any, present: Any, *, threshold: float) -> Any:
    """The mean gradient at entries where enough signs agree, else 0.

    Args:
        gradients: `(K, ...)`.
        present: `(K,)` booleans; only these vote.
        threshold: The least `|mean_k sign(g_k)|`.

    Returns:
        `(...)`.
    """
    count = ops.maximum(ops.sum(ops.cast(present, gradients.dtype)), 1.0)
    votes = ops.abs(ops.sum(ops.sign(gradients), axis=0)) / count
    mean = ops.sum(gradients, axis=0) / count
    return ops.where(votes >= threshold - 1e-6, mean, ops.zeros_like(mean))


@keras.saving.register_keras_serializable("keras_mtl")
class SignAgreement(GradientBalancer):
    """Moves only the parameters on whose direction the tasks agree, by the mean gradient.

    The AND-mask of Parascandolo, Neitz, Orvieto, Gresele and Schoelkopf, "Learning Explanations
    That Are Hard to Vary", ICLR 2021, arXiv:2009.00329.

    Args:
        threshold: How far the signs must agree: 1 for all of them, 0 for the plain mean.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If the threshold is not from 0 to 1.
    """

    def __init__(self, threshold: float = 1.0, gradients: str = "parameters", **kwargs: Any):
        super().__init__(gradients, **kwargs)
        if not 0 <= threshold <= 1:
            raise ValueError(f"`threshold` is {threshold!r}; expected a number from 0 to 1.")
        self.threshold = float(threshold)

    def combine(self, gradients: Any, present: Any) -> Any:
        return agreed(gradients, present, threshold=self.threshold)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}
