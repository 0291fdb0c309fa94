"""FAMO: all losses fall at one rate, by what the last steps did."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._adam import Adam
from keras_mtl.balancing._loss_balancer import LossBalancer

_SMALL = 1e-8


def famo_weights(losses: Any, logits: Any, present: Any) -> Any:
    """`c z_k / L_k` with `z = softmax(w)` over the tasks present and weights that sum to 1, `(K,)`."""
    shares = softmax(logits, present)
    raw = shares / (losses + _SMALL)
    return ops.where(present, raw / ops.maximum(ops.sum(raw), 1e-30), 0.0)


def famo_slopes(before: Any, after: Any, logits: Any, present: Any) -> Any:
    """The gradient of `sum_k z_k (log L_k - log L_k')` by the logits, `(K,)`."""
    fall = ops.where(present, ops.log(before + _SMALL) - ops.log(after + _SMALL), 0.0)
    shares = softmax(logits, present)
    return shares * (fall - ops.sum(shares * fall))


def softmax(logits: Any, present: Any) -> Any:
    """The softmax over the tasks that are present, `(K,)`; 0 for the others."""
    there = ops.cast(present, "float32")
    top = ops.max(ops.where(present, logits, -1e30))
    raised = there * ops.exp(ops.minimum(logits - top, 0.0))
    return raised / ops.maximum(ops.sum(raised), 1e-30)


@keras.saving.register_keras_serializable("keras_mtl")
class FAMO(LossBalancer):
    """Raises the weight of tasks whose loss the last steps lowered least, in proportion to the loss.

    After each step the losses of the same batch are computed once more (a forward pass, in training
    mode), and Adam moves the logits of the weights. The weights sum to 1. Losses must be positive.

    Liu, Feng, Stone and Liu, "FAMO: Fast Adaptive Multitask Optimization", NeurIPS 2023,
    arXiv:2306.03792.

    Args:
        learning_rate: Of the logits; the paper uses 0.025.
        decay: How strongly the logits are drawn to 0; the paper's gamma, 0.001.

    Raises:
        ValueError: If the learning rate is not positive or the decay negative.
    """

    needs_positive_losses = True
    needs_losses_after_step = True

    def __init__(self, learning_rate: float = 0.025, decay: float = 1e-3, **kwargs: Any):
        super().__init__(**kwargs)
        if not learning_rate > 0 or not decay >= 0:
            raise ValueError(
                f"FAMO came with `learning_rate` {learning_rate!r} and `decay` {decay!r}; expected a "
                "positive number, and one that is not negative."
            )
        self.learning_rate = float(learning_rate)
        self.decay = float(decay)

    def make_state(self, k: int) -> None:
        self.logits = Adam(self, "logits", "zeros", self.learning_rate)
        self.before = self.vector("before")

    def objective(self, losses: Any, present: Any) -> Any:
        constant = ops.stop_gradient(losses)
        self.before.assign(constant)
        weights = famo_weights(constant, self.logits.value.value, present)
        return ops.sum(ops.where(present, weights * losses, 0.0))

    def after_step(self, losses: Any, present: Any) -> None:
        """Moves the logits by what the step did to the losses, `(K,)`, of the same batch."""
        slopes = famo_slopes(self.before, losses, self.logits.value.value, present)
        sound = ops.all(ops.isfinite(slopes))
        moved = ops.logical_and(present, sound)
        self.logits.step(ops.where(sound, slopes, 0.0) + self.decay * self.logits.value, moved)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "learning_rate": self.learning_rate, "decay": self.decay}
