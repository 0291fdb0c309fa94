"""Balancers that look at the K losses alone: one backward pass."""

from typing import Any

from keras import ops

from keras_mtl.balancing._balancer import Balancer


class LossBalancer(Balancer):
    """A balancer that needs the K losses alone, and one backward pass.

    Write `task_weights` (a layer has `weights` of its own), or `objective` where the method states
    its own scalar.
    """

    needs = "losses"

    def task_weights(self, losses: Any) -> Any:
        """The weight of each task at this step, `(K,)`, taken as constants."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `task_weights` or `objective`"
        )

    def objective(self, losses: Any, present: Any) -> Any:
        """The scalar whose gradient is the balanced one.

        Args:
            losses: `(K,)`, the tasks' losses after alpha, over all replicas; 0 where a task has no
                label in the batch.
            present: `(K,)` booleans, which tasks have labels; the others must not enter.
        """
        weights = ops.stop_gradient(self.task_weights(ops.stop_gradient(losses)))
        return ops.sum(ops.where(present, weights * losses, ops.zeros_like(losses)))
