"""Cross-stitch: towers that mix their features after every layer, as much as they learn to."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._relations import Relates, Relation
from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import (
    mixed,
    share,
    shares_at_start,
)


@keras.saving.register_keras_serializable("keras_mtl")
class CrossStitch(Layered, Relates):
    """A tower for each task; after each layer every task learns how much of each tower it reads.

    With h_j what a layer of tower j makes, the next layer of tower i reads `sum_j a_ij h_j`. The
    `a` of a layer, `(K, K)`, are learnt; at the identity the towers are apart.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Misra, Shrivastava, Gupta and Hebert, "Cross-Stitch Networks for Multi-Task Learning", CVPR
    2016, arXiv:1604.03539.

    Args:
        units: Width of each layer of a tower.
        activation: Of every layer.
        self_weight: The share of a task's own tower at the start; the others share the rest.
        per_channel: Whether each feature has its own `a`, `(K, K, d)`, rather than all of a layer
            the same.

    Raises:
        ValueError: If a width is not positive, or the share is not between 0 and 1.
    """

    def __init__(
        self,
        units: Sequence[int] | int = (64,),
        activation: str = "relu",
        self_weight: float = 0.9,
        per_channel: bool = False,
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        self.self_weight = share("CrossStitch", "self_weight", self_weight)
        self.per_channel = bool(per_channel)

    def build(self, input_shape: Any) -> None:
        k = len(self.task_names)
        self.levels = self.towers(input_shape)
        start = shares_at_start(k, self.self_weight)
        self.stitches = [
            self.add_weight(
                (k, k, width) if self.per_channel else (k, k),
                keras.initializers.Constant(start[..., None] if self.per_channel else start),
                name=f"stitch_{i}",
            )
            for i, width in enumerate(self.units)
        ]
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        towers = [features] * len(self.task_names)
        for level, stitch in zip(self.levels, self.stitches, strict=True):
            towers = mixed(stitch, level(towers))
        return dict(zip(self.task_names, towers, strict=True))

    def relations(self) -> dict[str, Relation]:
        """How much of each tower, a column each, every task reads; a mean over channels."""
        found = [ops.convert_to_numpy(stitch) for stitch in self.stitches]
        means = [np.mean(np.reshape(a, (*a.shape[:2], -1)), axis=-1) for a in found]
        return {
            f"layer {i + 1}": Relation(mean, self.task_names, self.task_names)
            for i, mean in enumerate(means)
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "self_weight": self.self_weight,
            "per_channel": self.per_channel,
        }
