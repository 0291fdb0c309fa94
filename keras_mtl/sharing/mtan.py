"""MTAN: one shared stack, and for each task attention to what it needs of every layer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import Towers, widened


@keras.saving.register_keras_serializable("keras_mtl")
class MTAN(Layered):
    """One shared stack of layers, through which each task looks with masks of its own.

    With p_j what layer j of the shared stack makes, task k attends to

        a_kj = sigmoid(h_kj(relu(g_kj([p_j; f_j(a_k,j-1)])))) * p_j

    and its features are those of the last layer; the first layer's g reads p_1 alone. f passes on
    what was attended to and is the same for all tasks; g and h, each task's own, are 1x1
    convolutions (dense layers on the last axis). The shared stack and f are dense layers for
    `(B, d)` and `(B, T, d)`, and 3x3 convolutions for `(B, h, w, d)`. Every layer is a block of its
    own; batch normalisation and the pooling between the paper's blocks are left out.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Liu, Johns and Davison, "End-to-End Multi-Task Learning with Attention", CVPR 2019,
    arXiv:1803.10704.

    Args:
        units: Width of each layer of the shared stack, and of the attention to it.
        activation: Of the shared stack and of f.

    Raises:
        ValueError: If a width is not positive, or features are of another rank than these.
    """

    def __init__(
        self, units: Sequence[int] | int = (64, 64), activation: str = "relu", **kwargs: Any
    ):
        super().__init__(units, activation, **kwargs)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) not in (2, 3, 4):
            raise ValueError(
                f"sharing.MTAN got features of shape {tuple(input_shape)}; expected (batch, d), "
                "(batch, time, d) or (batch, height, width, d); pool or reshape them in the "
                "encoder."
            )
        shapes = [input_shape, *(widened(input_shape, width) for width in self.units)]
        numbered = list(enumerate(self.units))
        self.shared = [self._layer(f"shared_{i}", width, shapes[i]) for i, width in numbered]
        self.passing = [self._layer(f"passing_{i}", width, shapes[i]) for i, width in numbered[1:]]
        self.looking = [
            self._towers(
                f"looking_{i}", width, "relu", widened(input_shape, 2 * width if i else width)
            )
            for i, width in numbered
        ]
        self.masks = [
            self._towers(f"mask_{i}", width, "sigmoid", widened(input_shape, width))
            for i, width in numbered
        ]
        self.built = True

    def call(self, features: Any) -> dict[str, Any]:
        k = len(self.task_names)
        attended: list[Any] = []
        for i, layer in enumerate(self.shared):
            features = layer(features)
            read = [features] * k
            if attended:
                passed = [self.passing[i - 1](x) for x in attended]
                read = [ops.concatenate([features, x], axis=-1) for x in passed]
            attended = [mask * features for mask in self.masks[i](self.looking[i](read))]
        return dict(zip(self.task_names, attended, strict=True))

    def _layer(self, name: str, width: int, input_shape: Any) -> keras.layers.Layer:
        options = {"activation": self.activation, "name": name, "dtype": self.dtype_policy}
        if len(input_shape) == 4:
            layer = keras.layers.Conv2D(
                width, 3, padding="same", data_format="channels_last", **options
            )
        else:
            layer = keras.layers.Dense(width, **options)
        layer.build(input_shape)
        return layer

    def _towers(self, name: str, width: int, activation: str, input_shape: Any) -> Towers:
        towers = Towers(
            self.task_names, width, activation=activation, name=name, dtype=self.dtype_policy
        )
        towers.build(input_shape)
        return towers
