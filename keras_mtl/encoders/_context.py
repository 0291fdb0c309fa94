"""How words are read in context: `(B, T, e)` to `(B, T, units)`, padding masked."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops


def make(kind: str, units: int, dropout: float) -> keras.layers.Layer:
    """The reader of that kind.

    Raises:
        ValueError: If the kind is unknown, or cannot have that width.
    """
    if kind == "bilstm":
        if units % 2:
            raise ValueError(f"`units` is {units}; expected an even number, half a direction.")
        return BiLSTM(units, dropout, name="context")
    if kind == "cnn":
        return DilatedConvolutions(units, dropout, name="context")
    if kind == "transformer":
        if units % 4:
            raise ValueError(f"`units` is {units}; expected a multiple of the 4 attention heads.")
        return Transformer(units, dropout, name="context")
    raise ValueError(
        f"`kind` of encoders.Text is {kind!r}; expected 'bilstm', 'cnn' or 'transformer'."
    )


class BiLSTM(keras.layers.Layer):
    """One long short-term memory each way (Graves and Schmidhuber, Neural Networks 2005)."""

    def __init__(self, units: int, dropout: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.lstm = keras.layers.Bidirectional(
            keras.layers.LSTM(units // 2, return_sequences=True), name="lstm"
        )

    def build(self, input_shape: Any) -> None:
        self.lstm.build(input_shape)
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        return self.lstm(inputs, mask=mask, training=training)


class DilatedConvolutions(keras.layers.Layer):
    """Residual convolutions of dilation 1, 2, 4 (Strubell et al., "Fast and Accurate Entity
    Recognition with Iterated Dilated Convolutions", EMNLP 2017)."""

    def __init__(self, units: int, dropout: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.project = keras.layers.Dense(units, name="project")
        self.convolutions = [
            keras.layers.Conv1D(
                units, 3, padding="same", dilation_rate=d, activation="relu", name=f"dilated_{d}"
            )
            for d in (1, 2, 4)
        ]
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{d}") for d in (1, 2, 4)]
        self.drop = keras.layers.Dropout(dropout, name="dropout")

    def build(self, input_shape: Any) -> None:
        self.project.build(input_shape)
        shape = (*input_shape[:-1], self.project.units)
        for layer in (*self.convolutions, *self.norms):
            layer.build(shape)
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        features = self.project(inputs)
        # Padding is kept at zero, so that an answer does not depend on the batch it came in.
        keep = None if mask is None else ops.cast(ops.expand_dims(mask, -1), features.dtype)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            seen = features if keep is None else features * keep
            features = norm(features + self.drop(convolution(seen), training=training))
        return features


class Transformer(keras.layers.Layer):
    """Two blocks of self-attention with 4 heads, normalised first (Vaswani et al., NeurIPS 2017;
    Xiong et al., ICML 2020), over embeddings with sinusoidal positions."""

    def __init__(self, units: int, dropout: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.units = units
        self.project = keras.layers.Dense(units, name="project")
        self.attentions = [
            keras.layers.MultiHeadAttention(4, units // 4, dropout=dropout, name=f"attention_{i}")
            for i in range(2)
        ]
        self.widen = [
            keras.layers.Dense(2 * units, activation="gelu", name=f"widen_{i}") for i in range(2)
        ]
        self.narrow = [keras.layers.Dense(units, name=f"narrow_{i}") for i in range(2)]
        self.norms = [keras.layers.LayerNormalization(name=f"norm_{i}") for i in range(5)]
        self.drop = keras.layers.Dropout(dropout, name="dropout")

    def build(self, input_shape: Any) -> None:
        shape = (*input_shape[:-1], self.units)
        self.project.build(input_shape)
        for attention in self.attentions:
            attention.build(shape, shape)
        for widen, narrow in zip(self.widen, self.narrow, strict=True):
            widen.build(shape)
            narrow.build((*shape[:-1], 2 * self.units))
        for norm in self.norms:
            norm.build(shape)
        self.built = True

    def call(self, inputs: Any, mask: Any = None, training: bool | None = None) -> Any:
        features = self.project(inputs)
        features = features + ops.cast(self._positions(ops.shape(features)[1]), features.dtype)
        attend = None if mask is None else ops.expand_dims(mask, 1)
        for i in range(2):
            seen = self.norms[2 * i](features)
            found = self.attentions[i](seen, seen, attention_mask=attend, training=training)
            features = features + self.drop(found, training=training)
            wide = self.widen[i](self.norms[2 * i + 1](features))
            features = features + self.drop(self.narrow[i](wide), training=training)
        return self.norms[4](features)

    def _positions(self, length: Any) -> Any:
        rates = np.exp(np.arange(0, self.units, 2) * (-math.log(10_000.0) / self.units))
        angles = ops.cast(ops.arange(length), "float32")[:, None] * rates.astype("float32")
        return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
