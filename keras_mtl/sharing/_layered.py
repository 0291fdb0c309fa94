"""Sharing schemes whose layers all tasks have in one number and of one width."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.sharing._sharing import Sharing
from keras_mtl.sharing._towers import Towers, stack_of_towers, widened, widths


class Layered(Sharing):
    """A scheme of layers with `units` and an activation: `(B, ..., d)` to `(B, ..., units[-1])` a task.

    Args:
        units: Width of each layer.
        activation: Of these layers.

    Raises:
        ValueError: If there is no layer, a width is not positive, or the activation is unknown.
    """

    def __init__(self, units: Sequence[int] | int = (64,), activation: str = "relu", **kwargs: Any):
        super().__init__(**kwargs)
        self.units = widths(type(self).__name__, units)
        keras.activations.get(activation)
        self.activation = activation

    def towers(self, input_shape: Any) -> list[Towers]:
        """A tower of these layers for each task, layer by layer."""
        return stack_of_towers(
            self.task_names,
            self.units,
            input_shape,
            activation=self.activation,
            dtype=self.dtype_policy,
        )

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        return dict.fromkeys(self.task_names, widened(input_shape, self.units[-1]))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": list(self.units),
            "activation": self.activation,
        }
