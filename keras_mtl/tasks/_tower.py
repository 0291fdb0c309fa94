"""The small stack of layers between shared features and a task's scores."""

from typing import Any

import keras
from keras import ops


class Tower:
    """A head's own layers: pooling where the task wants one answer a row, then dense layers.

    Args:
        units: Width of each dense layer; none by default, the scores then read the features.
        activation: Of the dense layers.
        dropout: Rate before every layer, the scores included.
        pooling: How `(B, T, d)` becomes `(B, d)`: "attention", "mean" or "max"; padding is left
            out. Images are averaged over space.

    Raises:
        ValueError: If a width is not positive, or the pooling is unknown.
    """

    def __init__(
        self,
        units: Any = (),
        activation: str = "relu",
        dropout: float = 0.0,
        pooling: str = "attention",
    ):
        self.units = [int(u) for u in ((units,) if isinstance(units, int) else units)]
        self.activation = activation
        self.dropout = float(dropout)
        self.pooling = pooling
        if any(u < 1 for u in self.units):
            raise ValueError(f"`units` of a tower came as {units!r}; expected positive widths.")
        if not 0 <= self.dropout < 1:
            raise ValueError(
                f"`dropout` of a tower is {dropout!r}; expected 0 or more and less than 1."
            )
        if pooling not in ("attention", "mean", "max"):
            raise ValueError(
                f"`pooling` of a tower is {pooling!r}; expected 'attention', 'mean' or 'max'."
            )

    @classmethod
    def of(cls, given: Any) -> "Tower":
        """A tower from itself, its config, or the units of its layers."""
        if isinstance(given, Tower):
            return given
        return cls(**given) if isinstance(given, dict) else cls(given)

    def __call__(self, features: Any, task: str, *, keep_positions: bool) -> Any:
        """Applies the tower; layers are named after the task."""
        hidden = features
        if keep_positions and len(hidden.shape) != 3:
            raise ValueError(
                f"Task {task!r} answers each position of a sequence and needs features of shape "
                f"(batch, time, d), but got {tuple(hidden.shape)}; use an encoder that keeps "
                "positions, such as encoders.Text."
            )
        if not keep_positions and len(hidden.shape) == 3:
            hidden = SequencePooling(self.pooling, name=f"{task}_pooling")(hidden)
        elif not keep_positions and len(hidden.shape) > 3:
            pool = {4: keras.layers.GlobalAveragePooling2D, 5: keras.layers.GlobalAveragePooling3D}
            hidden = pool[len(hidden.shape)](name=f"{task}_pooling")(hidden)
        for i, width in enumerate(self.units):
            hidden = self._dropped(hidden, f"{task}_dropout_{i}")
            hidden = keras.layers.Dense(
                width, activation=self.activation, name=f"{task}_dense_{i}"
            )(hidden)
        return self._dropped(hidden, f"{task}_dropout")

    def _dropped(self, hidden: Any, name: str) -> Any:
        return keras.layers.Dropout(self.dropout, name=name)(hidden) if self.dropout else hidden

    def get_config(self) -> dict[str, Any]:
        return {
            "units": list(self.units),
            "activation": self.activation,
            "dropout": self.dropout,
            "pooling": self.pooling,
        }


@keras.saving.register_keras_serializable("keras_mtl")
class SequencePooling(keras.layers.Layer):
    """One vector a sequence, padding left out: `(B, T, d)` to `(B, d)`.

    Attention pooling learns one score a position, softmax(w . tanh(W h)); Yang et al.,
    "Hierarchical Attention Networks for Document Classification", NAACL 2016.

    Args:
        pooling: "attention", "mean" or "max".
    """

    def __init__(self, pooling: str = "attention", **kwargs: Any):
        super().__init__(**kwargs)
        self.pooling = pooling
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if self.pooling == "attention":
            width = input_shape[-1]
            self.project = keras.layers.Dense(width, activation="tanh", name="project")
            self.project.build(input_shape)
            self.point = keras.layers.Dense(1, use_bias=False, name="point")
            self.point.build(input_shape)
        self.built = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        keep = None if mask is None else ops.expand_dims(ops.cast(mask, "bool"), -1)
        if self.pooling == "max":
            low = ops.full_like(inputs, -1e4)
            return ops.max(inputs if keep is None else ops.where(keep, inputs, low), axis=1)
        if self.pooling == "mean":
            if keep is None:
                return ops.mean(inputs, axis=1)
            counted = ops.cast(keep, inputs.dtype)
            return ops.sum(inputs * counted, axis=1) / ops.maximum(ops.sum(counted, axis=1), 1)
        points = ops.cast(self.point(self.project(inputs)), "float32")
        if keep is not None:
            points = ops.where(keep, points, -1e9)
        # Not `ops.softmax`, which takes a text of one word for a mistake.
        shares = ops.exp(points - ops.max(points, axis=1, keepdims=True))
        shares = shares / ops.sum(shares, axis=1, keepdims=True)
        return ops.sum(inputs * ops.cast(shares, inputs.dtype), axis=1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pooling": self.pooling}
