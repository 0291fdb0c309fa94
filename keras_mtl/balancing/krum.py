"""Krum: the gradients that lie nearest to the others."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._gramian_balancer import GramianBalancer


def krum_weights(gramian: Any, present: Any, *, byzantine: int, selected: int) -> Any:
    """`1/m` for the m gradients of the least sum of squared distances to their nearest, `(K,)`.

    Args:
        gramian: `(K, K)`.
        present: `(K,)`, 1 for a task that is present, else 0.
        byzantine: How many gradients are not trusted: the nearest n - byzantine - 2 count, at
            least one.
        selected: m.
    """
    k = gramian.shape[0]
    squares = ops.diagonal(gramian)
    distances = ops.expand_dims(squares, 1) + squares - 2.0 * gramian
    both = present * ops.expand_dims(present, 1) * (1.0 - ops.eye(k))
    distances = ops.sort(ops.where(both > 0, ops.maximum(distances, 0.0), 1e37), axis=1)
    count = ops.sum(present)
    counted = ops.cast(ops.arange(k), "float32") < ops.maximum(count - byzantine - 2, 1.0)
    near = ops.sum(ops.where(ops.logical_and(counted, distances < 1e37), distances, 0.0), axis=1)
    rank = ops.argsort(ops.argsort(ops.where(present > 0, near, 1e38)))
    taken = ops.cast(rank, "float32") < ops.minimum(float(selected), count)
    return ops.cast(taken, "float32") / ops.maximum(ops.minimum(float(selected), count), 1.0)


@keras.saving.register_keras_serializable("keras_mtl")
class Krum(GramianBalancer):
    """Takes the mean of the gradients that agree best with their neighbours, and leaves the rest.

    Made for workers that may send anything; in multi-task learning it resists a task gone wrong.
    The weights are 1/m for m gradients and 0 for the others.

    Blanchard, El Mhamdi, Guerraoui and Stainer, "Machine Learning with Adversaries: Byzantine
    Tolerant Gradient Descent", NeurIPS 2017.

    Args:
        byzantine: How many gradients are not trusted.
        selected: How many are taken (Multi-Krum); 1 in the paper.
        gradients: "parameters" or "features".

    Raises:
        ValueError: If `byzantine` is negative or `selected` not positive, or, when it meets the
            model, there are fewer tasks than are selected.
    """

    def __init__(
        self, byzantine: int = 0, selected: int = 1, gradients: str = "parameters", **kwargs: Any
    ):
        super().__init__(gradients, **kwargs)
        if byzantine < 0 or selected < 1:
            raise ValueError(
                f"Krum came with `byzantine` {byzantine!r} and `selected` {selected!r}; expected an "
                "integer that is not negative, and a positive one."
            )
        self.byzantine = int(byzantine)
        self.selected = int(selected)

    def make_state(self, k: int) -> None:
        if self.selected > k:
            raise ValueError(
                f"Krum is to select {self.selected} gradients, but the model has {k} tasks "
                f"{list(self.task_names)}; select at most as many."
            )

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return krum_weights(gramian, present, byzantine=self.byzantine, selected=self.selected)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "byzantine": self.byzantine, "selected": self.selected}
