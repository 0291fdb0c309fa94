"""GradNorm: tasks that learn slowly get longer gradients."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer


def gradnorm_slopes(norms: Any, weights: Any, progress: Any, present: Any, *, alpha: float) -> Any:
    """The derivative of `sum_k |w_k n_k - mean(w n) r_k^alpha|` by w, the targets as constants.

    Args:
        norms: `(K,)`, the gradients' norms n.
        weights: `(K,)`.
        progress: `(K,)`, each loss over its first value.
        present: `(K,)`, 1 for a task that is present, else 0.
        alpha: How strongly slow tasks are helped.

    Returns:
        `(K,)`; 0 for absent tasks.
    """
    count = ops.maximum(ops.sum(present), 1.0)
    lengths = weights * norms
    rate = progress / ops.maximum(ops.sum(progress * present) / count, 1e-12)
    goal = ops.sum(lengths * present) / count * ops.power(ops.maximum(rate, 1e-12), alpha)
    return present * ops.sign(lengths - goal) * norms


@keras.saving.register_keras_serializable("keras_mtl")
class GradNorm(GramianBalancer):
    """Learns weights under which all gradients are of one length, longer for tasks that lag.

    A task lags when its loss has fallen less, from its first value, than the others'. The weights
    are learnt by gradient descent at a rate of their own, on gradients in units of their mean length,
    and sum to K. The paper takes the last shared layer alone; this takes all that is shared, or with
    `gradients="features"` what the last one gives.

    Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss
    Balancing in Deep Multitask Networks", ICML 2018, arXiv:1711.02257.

    Args:
        alpha: How strongly tasks that lag are helped; the paper uses 1.5 on NYU-v2 and 0.12 on toys.
        learning_rate: Of the weights; the paper uses 0.025.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `alpha` is negative or the learning rate not positive.
    """

    needs_positive_losses = True
    lengths_only = True

    def __init__(
        self,
        alpha: float = 1.5,
        learning_rate: float = 0.025,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(gradients, **kwargs)
        if alpha < 0 or not learning_rate > 0:
            raise ValueError(
                f"GradNorm came with `alpha` {alpha!r} and `learning_rate` {learning_rate!r}; "
                "expected a number that is not negative, and a positive one."
            )
        self.alpha = float(alpha)
        self.learning_rate = float(learning_rate)

    def make_state(self, k: int) -> None:
        self.learnt = self.vector("learnt", "ones")
        self.first = self.vector("first")

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        first = ops.where(
            ops.logical_and(self.first == 0, present > 0), ops.maximum(losses, 1e-12), self.first
        )
        self.first.assign(first)
        progress = losses / ops.where(first > 0, first, 1.0)
        count = ops.maximum(ops.sum(present), 1.0)
        norms = ops.sqrt(ops.maximum(ops.diagonal(gramian), 0.0))
        mean = ops.sum(norms * present) / count
        norms = norms / ops.where(mean > 0, mean, 1.0)
        slopes = gradnorm_slopes(norms, self.learnt.value, progress, present, alpha=self.alpha)
        learnt = ops.maximum(self.learnt - self.learning_rate * slopes, 1e-3)
        weights = self.learnt * 1.0
        self.learnt.assign(learnt * learnt.shape[0] / ops.sum(learnt))
        return weights

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha, "learning_rate": self.learning_rate}
