"""NDDR: towers that read each other's features through a learnt projection."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import shares_at_start, widened


@keras.saving.register_keras_serializable("keras_mtl")
class NDDR(Layered):
    """A tower for each task; after each layer every task projects all towers' features to its own.

    With h_j what a layer of tower j makes, the next layer of tower i reads
    `[h_1 ... h_K] P_i + b_i`, a 1x1 convolution of `(K d, d)`. P_i starts as alpha on the features
    of tower i and beta on the same features of the others, so that a diagonal P is `CrossStitch`
    by channel. The batch normalisation of the paper's networks is left out.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Gao, Ma, Zhao, Liu and Yuille, "NDDR-CNN: Layerwise Feature Fusing in Multi-Task CNNs by Neural
    Discriminative Dimensionality Reduction", CVPR 2019, arXiv:1801.08297.

    Args:
        units: Width of each layer of a tower.
        activation: Of every layer of a tower; the projection has none.
        alpha: What a task starts with of its own tower.
        beta: What it starts with of each other tower; `(1 - alpha) / (K - 1)` where it is not
            given. A single task then starts with 1 of its own.

    Raises:
        ValueError: If a width is not positive, or alpha or beta is no finite number.
    """

    def __init__(
        self,
        units: Sequence[int] | int = (64,),
        activation: str = "relu",
        alpha: float = 0.9,
        beta: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        if not np.isfinite([alpha, 0 if beta is None else beta]).all():
            raise ValueError(
                f"`alpha` and `beta` of sharing.NDDR are {alpha!r} and {beta!r}; expected finite "
                "numbers, such as alpha=0.9 and no beta."
            )
        self.alpha = float(alpha)
        self.beta = None if beta is None else float(beta)

    def build(self, input_shape: Any) -> None:
        k = len(self.task_names)
        self.levels = self.towers(input_shape)
        # The K projections in one matrix: P_i are its columns from i d to (i + 1) d.
        self.projections = [
            keras.layers.Dense(
                k * width,
                kernel_initializer=keras.initializers.Constant(
                    np.kron(self._shares(k).T, np.eye(width))
                ),
                name=f"projection_{i}",
                dtype=self.dtype_policy,
            )
            for i, width in enumerate(self.units)
        ]
        for projection, width in zip(self.projections, self.units, strict=True):
            projection.build(widened(input_shape, k * width))
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        towers = [features] * len(self.task_names)
        for level, projection in zip(self.levels, self.projections, strict=True):
            every = projection(ops.concatenate(level(towers), axis=-1))
            towers = ops.split(every, len(towers), axis=-1)
        return dict(zip(self.task_names, towers, strict=True))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
        }

    def _shares(self, k: int) -> np.ndarray:
        if self.beta is None:
            return shares_at_start(k, self.alpha)
        return np.where(np.eye(k) > 0, self.alpha, self.beta)
