"""Dynamic weight average: tasks whose loss falls slowly get more weight."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._epoch_means import count_in, take_means
from keras_mtl.balancing._loss_balancer import LossBalancer


def dwa_weights(last: Any, before: Any, *, temperature: float) -> Any:
    """`K softmax(r / T)` with r_k = L_k(t-1) / L_k(t-2), `(K,)`; sums to K.

    A task whose loss was 0 or never seen in one of the two epochs gets the ratio 1.
    """
    seen = ops.logical_and(last > 0, before > 0)
    ratios = ops.where(seen, last / ops.where(seen, before, ops.ones_like(before)), 1.0)
    shares = ops.exp((ratios - ops.max(ratios)) / temperature)
    return shares / ops.sum(shares) * last.shape[0]


@keras.saving.register_keras_serializable("keras_mtl")
class DWA(LossBalancer):
    """Weighs tasks by how fast their mean loss fell over the last two epochs.

    The first two epochs have equal weights. Epochs are those of `fit`; a loop of the user's own
    calls `on_epoch_end()`.

    Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019,
    arXiv:1803.10704.

    Args:
        temperature: T; the larger, the more equal the weights. The paper uses 2.

    Raises:
        ValueError: If the temperature is not positive.
    """

    needs_positive_losses = True

    def __init__(self, temperature: float = 2.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not temperature > 0:
            raise ValueError(
                f"`temperature` is {temperature!r}; expected a positive number (the paper uses 2)."
            )
        self.temperature = float(temperature)

    def make_state(self, k: int) -> None:
        self.total = self.vector("total")
        self.count = self.vector("count")
        self.last = self.vector("last")
        self.before = self.vector("before")

    def task_weights(self, losses: Any) -> Any:
        return dwa_weights(self.last.value, self.before.value, temperature=self.temperature)

    def objective(self, losses: Any, present: Any) -> Any:
        count_in(self.total, self.count, losses, present)
        return super().objective(losses, present)

    def on_epoch_end(self) -> None:
        self.before.assign(self.last)
        self.last.assign(take_means(self.total, self.count))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "temperature": self.temperature}
