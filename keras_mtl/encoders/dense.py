"""Numbers in, features out."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.encoders._encoder import Encoder, positive, rate


@keras.saving.register_keras_serializable("keras_mtl")
class Dense(Encoder):
    """A stack of dense layers over one vector of numbers a row: `(B, features)` to `(B, d)`.

    Args:
        features: How many numbers a row has.
        units: Width of each layer.
        activation: Of every layer.
        dropout: Rate after every layer.
        input_name: The key of the vector in the data.

    Raises:
        ValueError: If a width is not positive, or the rate is out of range.
    """

    def __init__(
        self,
        features: int,
        units: Sequence[int] = (128, 128),
        activation: str = "relu",
        dropout: float = 0.0,
        input_name: str = "features",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.features = positive("Dense", "features", features)
        self.units = [positive("Dense", "units", u) for u in units]
        if not self.units:
            raise ValueError("`units` of encoders.Dense is empty; expected the width of a layer.")
        self.activation = activation
        self.dropout = rate("Dense", "dropout", dropout)
        self.input_name = input_name
        self.hidden = [
            keras.layers.Dense(u, activation=activation, name=f"dense_{i}")
            for i, u in enumerate(self.units)
        ]
        self.drop = keras.layers.Dropout(self.dropout, name="dropout")

    def make_inputs(self) -> dict[str, Any]:
        return {self.input_name: keras.Input((self.features,), name=self.input_name)}

    def build(self, input_shape: Any) -> None:
        for layer in self.hidden:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        features = inputs
        for layer in self.hidden:
            features = layer(features)
            if self.dropout:
                features = self.drop(features, training=training)
        return features

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "features": self.features,
            "units": list(self.units),
            "activation": self.activation,
            "dropout": self.dropout,
            "input_name": self.input_name,
        }
