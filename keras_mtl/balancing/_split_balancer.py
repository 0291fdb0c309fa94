"""Balancers that compare the gradients of independent parts of a batch."""

import abc
from typing import Any

from keras import ops

from keras_mtl.balancing._balancer import Balancer
from keras_mtl.balancing._gramian_balancer import check_space


class SplitBalancer(Balancer):
    """A balancer whose weights need gradients of several samples of the rows.

    The paper's two or three batches a step are `parts` of the one that `fit` hands over, with no row
    in common. A step needs the backward passes that K gradients of the batch need; the gradients in
    memory, and their products, are of `parts` times as many rows, and each is of a sample that is as
    much smaller. A task takes part where each part has labels of it. Heads learn from all rows.

    Attributes:
        parts: How many samples.
    """

    needs = "gramian"
    parts = 2

    def __init__(self, gradients: str = "parameters", **kwargs: Any):
        super().__init__(**kwargs)
        if check_space(gradients) == "features":
            raise ValueError(
                f"{type(self).__name__} compares gradients of different rows, which have no features "
                "in common; use gradients='parameters'."
            )

    @abc.abstractmethod
    def task_weights(self, products: Any, losses: Any, present: Any) -> Any:
        """The weight of each task's gradient of each part.

        Args:
            products: `(parts, K, parts, K)`, inner products of the gradients of the parts; 0 for
                absent tasks.
            losses: `(K,)`, after alpha; 0 for absent tasks.
            present: `(K,)`, 1 for a task with labels in every part, else 0.

        Returns:
            `(parts, K)`; what it says of absent tasks is not used.
        """

    def weigh(self, gramian: Any, losses: Any, present: Any) -> Any:
        """`task_weights` of the tasks that are present, and 0 for the others, `(parts * K,)`.

        Args:
            gramian: `(parts * K, parts * K)`.
            losses: `(K,)`, after alpha.
            present: `(K,)` booleans.
        """
        n, k = self.parts, len(self.task_names)
        there = ops.cast(present, "float32")
        both = ops.tile(there, [n])
        masked = ops.where(ops.expand_dims(both, 1) * both > 0, gramian, 0.0)
        weights = self.task_weights(
            ops.reshape(masked, (n, k, n, k)), ops.where(present, losses, 0.0), there
        )
        return ops.reshape(ops.where(present, weights, 0.0), (n * k,))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "gradients": self.gradients}
