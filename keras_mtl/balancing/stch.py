"""STCH: the smooth maximum of the losses."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._epoch_means import count_in, take_means
from keras_mtl.balancing._loss_balancer import LossBalancer


def smooth_maximum(values: Any, present: Any, *, mu: float) -> Any:
    """`mu log sum_k exp(v_k / mu)` over the tasks present, `()`; 0 if there is none."""
    top = ops.max(ops.where(present, values, -1e30))
    top = ops.stop_gradient(ops.where(ops.any(present), top, 0.0))
    shares = ops.where(present, ops.exp(ops.minimum((values - top) / mu, 0.0)), 0.0)
    total = ops.sum(shares)
    return ops.where(ops.any(present), top + mu * ops.log(ops.maximum(total, 1e-30)), 0.0)


@keras.saving.register_keras_serializable("keras_mtl")
class STCH(LossBalancer):
    """Minimises a smooth maximum of the losses' logarithms, each against its value after warm-up.

    For the first epochs the sum of the losses' logarithms is minimised; then each loss counts
    relative to its mean over the last of these epochs (its nadir), times K.

    Lin, Zhang, Yang, Liu, Wang and Zhang, "Smooth Tchebycheff Scalarization for Multi-Objective
    Optimization", ICML 2024, arXiv:2402.19078.

    Args:
        mu: How smooth the maximum is; towards 0 the largest alone counts.
        warmup_epochs: Epochs of warm-up; the paper uses 4. Epochs are those of `fit`; a loop of the
            user's own calls `on_epoch_end()`.

    Raises:
        ValueError: If `mu` is not positive or `warmup_epochs` negative.
    """

    needs_positive_losses = True

    def __init__(self, mu: float = 1.0, warmup_epochs: int = 4, **kwargs: Any):
        super().__init__(**kwargs)
        if not mu > 0 or warmup_epochs < 0:
            raise ValueError(
                f"STCH came with `mu` {mu!r} and `warmup_epochs` {warmup_epochs!r}; expected a "
                "positive number, and an integer that is not negative."
            )
        self.mu = float(mu)
        self.warmup_epochs = int(warmup_epochs)

    def make_state(self, k: int) -> None:
        self.total = self.vector("total")
        self.count = self.vector("count")
        self.nadir = self.vector("nadir", "ones")
        self.epoch = self.add_weight((), "zeros", "int32", trainable=False, name="epoch")

    def objective(self, losses: Any, present: Any) -> Any:
        count_in(self.total, self.count, losses, present)
        logs = ops.log(ops.maximum(losses / self.nadir, 1e-20))
        warm = ops.sum(ops.where(present, logs, 0.0))
        k = len(self.task_names)
        return ops.where(
            self.epoch < self.warmup_epochs, warm, k * smooth_maximum(logs, present, mu=self.mu)
        )

    def on_epoch_end(self) -> None:
        self.epoch.assign_add(1)
        means = take_means(self.total, self.count)
        if int(ops.convert_to_numpy(self.epoch)) == self.warmup_epochs:
            self.nadir.assign(ops.where(means > 0, means, 1.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mu": self.mu, "warmup_epochs": self.warmup_epochs}
