"""DTP: hard tasks first, as a focal loss does for hard examples."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._loss_balancer import LossBalancer


def dtp_weights(performance: Any, *, gamma: float) -> Any:
    """`-(1 - p)^gamma log p` for a performance p from 0 to 1, `(K,)`."""
    p = ops.clip(performance, 1e-6, 1.0 - 1e-6)
    return -ops.power(1.0 - p, gamma) * ops.log(p)


@keras.saving.register_keras_serializable("keras_mtl")
class DTP(LossBalancer):
    """Weighs tasks by the focal loss of how well they do, most where they do badly.

    How well a task does is taken from its loss: `exp(-L)`, which for a cross-entropy is the (geometric)
    mean probability of the right label; where the paper has accuracies or average precisions, this
    needs no metric of any task. Its moving average is what counts. The weights go to 0 as all tasks
    are learnt, and with them the step.

    Guo, Haque, Huang, Yeung and Fei-Fei, "Dynamic Task Prioritization for Multitask Learning", ECCV
    2018.

    Args:
        gamma: How strongly hard tasks are preferred; the paper tries 0 to 2.
        momentum: How much of the moving average stays at a step.

    Raises:
        ValueError: If `gamma` is negative or the momentum not from 0 to below 1.
    """

    needs_positive_losses = True

    def __init__(self, gamma: float = 1.0, momentum: float = 0.9, **kwargs: Any):
        super().__init__(**kwargs)
        if not gamma >= 0 or not 0 <= momentum < 1:
            raise ValueError(
                f"DTP came with `gamma` {gamma!r} and `momentum` {momentum!r}; expected a number that "
                "is not negative, and one from 0 to below 1."
            )
        self.gamma = float(gamma)
        self.momentum = float(momentum)

    def make_state(self, k: int) -> None:
        self.performance = self.vector("performance")
        self.seen = self.vector("seen")

    def objective(self, losses: Any, present: Any) -> Any:
        now = ops.exp(-ops.maximum(ops.stop_gradient(losses), 0.0))
        stays = self.momentum * ops.minimum(self.seen, 1.0)
        mean = ops.where(present, stays * self.performance + (1.0 - stays) * now, self.performance)
        self.performance.assign(mean)
        self.seen.assign(ops.where(present, 1.0, self.seen))
        weights = dtp_weights(mean, gamma=self.gamma)
        return ops.sum(ops.where(present, weights * losses, 0.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gamma": self.gamma, "momentum": self.momentum}
