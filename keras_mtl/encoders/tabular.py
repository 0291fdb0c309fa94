"""Raw columns in, features out: the preprocessing is a part of the model."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.encoders._encoder import PreprocessingEncoder, positive, rate


class Numeric:
    """A column of numbers, brought to mean 0 and variance 1; NaN where it is not known.

    Args:
        mean: Of the training rows.
        variance: Of the training rows.
    """

    def __init__(self, mean: float = 0.0, variance: float = 1.0):
        self.mean = float(mean)
        self.variance = float(variance)
        if not np.isfinite(self.mean) or not np.isfinite(self.variance) or self.variance < 0:
            raise ValueError(
                f"A numeric column came with mean {mean!r} and variance {variance!r}; expected "
                "finite numbers and a variance that is not negative."
            )

    def get_config(self) -> dict[str, Any]:
        return {"kind": "numeric", "mean": self.mean, "variance": self.variance}


class Categorical:
    """A column of names or whole numbers, each embedded; anything else shares one embedding.

    Args:
        vocabulary: The values of the training rows; all strings or all whole numbers.
    """

    def __init__(self, vocabulary: Iterable[Any]):
        values = list(vocabulary)
        self.text = any(isinstance(v, (str, np.str_)) for v in values)
        self.vocabulary: list[Any] = [str(v) if self.text else int(v) for v in values]
        if not self.vocabulary or len(set(self.vocabulary)) < len(self.vocabulary):
            raise ValueError(
                f"A categorical column came with the values {self.vocabulary[:10]}; expected at "
                "least one, and each only once."
            )

    def get_config(self) -> dict[str, Any]:
        return {"kind": "categorical", "vocabulary": list(self.vocabulary)}


@keras.saving.register_keras_serializable("keras_mtl")
class Tabular(PreprocessingEncoder):
    """Named columns, numbers and categories mixed: each `(B,)`, together to `(B, d)`.

    Numbers are normalised; where one is NaN, the mean takes its place and a flag says so.
    Categories are looked up and embedded; a missing or unknown one has an embedding of its own.

    Args:
        columns: `Numeric` or `Categorical` by column name; `Tabular.infer` makes them from data.
        units: Width of each dense layer on top.
        embedding: Length of a category's embedding.
        activation: Of the dense layers.
        dropout: Rate after every dense layer.

    Raises:
        ValueError: If there is no column, or a number is out of range.
        TypeError: If a column is neither numeric nor categorical.
    """

    accepts_missing = True

    def __init__(
        self,
        columns: Mapping[str, Any],
        units: Sequence[int] = (128, 64),
        embedding: int = 8,
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.columns = {name: _column(name, given) for name, given in columns.items()}
        if not self.columns:
            raise ValueError(
                "`columns` of encoders.Tabular is empty; expected at least one column."
            )
        self.units = [positive("Tabular", "units", u) for u in units]
        self.embedding = positive("Tabular", "embedding", embedding)
        self.activation = activation
        self.dropout = rate("Tabular", "dropout", dropout)
        self.numeric = [n for n, c in self.columns.items() if isinstance(c, Numeric)]
        self.categorical = [n for n, c in self.columns.items() if isinstance(c, Categorical)]
        self.lookups = [
            _lookup(name, c) for name, c in self.columns.items() if isinstance(c, Categorical)
        ]
        sizes = [lookup.vocabulary_size() for lookup in self.lookups]
        # One table for all columns, each with its own stretch: one gather, whatever their number.
        self.offsets = (
            np.cumsum([0, *sizes[:-1]]).astype("int64") if sizes else np.zeros(0, "int64")
        )
        self.table = (
            keras.layers.Embedding(sum(sizes), self.embedding, name="categories") if sizes else None
        )
        self.hidden = [
            keras.layers.Dense(u, activation=activation, name=f"dense_{i}")
            for i, u in enumerate(self.units)
        ]
        self.drop = keras.layers.Dropout(self.dropout, name="dropout")

    @classmethod
    def infer(
        cls, data: Any, *, exclude: Iterable[str] = (), max_categories: int = 10_000, **kwargs: Any
    ) -> "Tabular":
        """An encoder of the columns of a table, with statistics of its rows.

        Args:
            data: A DataFrame, or a dict of arrays: training rows alone.
            exclude: Columns to leave out: labels, identifiers.
            max_categories: The most values a category may have; the rarest beyond are "unknown".
            **kwargs: Arguments of `Tabular`.

        Raises:
            ValueError: If a column named in `exclude` is not there, or no column is left.
        """
        names = list(data)
        exclude = list(exclude)
        absent = [name for name in exclude if name not in names]
        if absent:
            raise ValueError(f"`exclude` names the columns {absent}, but the data have {names}.")
        columns = {
            str(name): _infer(np.asarray(data[name]), max_categories)
            for name in names
            if name not in exclude
        }
        return cls(columns, **kwargs)

    def make_inputs(self) -> dict[str, Any]:
        inputs = {}
        for name, column in self.columns.items():
            dtype = "float32"
            if isinstance(column, Categorical):
                dtype = "string" if column.text else "int64"
            inputs[name] = keras.Input((), name=name, dtype=dtype)
        return inputs

    def features_of(self, inputs: dict[str, Any]) -> Any:
        return self(inputs)

    def build(self, input_shape: Any) -> None:
        width = 2 * len(self.numeric) + self.embedding * len(self.categorical)
        for lookup in self.lookups:
            lookup.build((None,))
        if self.table is not None:
            self.table.build((None, len(self.categorical)))
        shape: tuple[int | None, ...] = (None, width)
        for layer in self.hidden:
            layer.build(shape)
            shape = layer.compute_output_shape(shape)
        self.built = True

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        prepared: dict[str, Any] = {}
        if self.numeric:
            mean, deviation = self._statistics()
            raw = ops.stack([ops.cast(inputs[name], "float32") for name in self.numeric], axis=-1)
            # Where one is NaN, it stays NaN.
            scaled = ops.unstack((raw - mean) / deviation, len(self.numeric), axis=-1)
            prepared.update(zip(self.numeric, scaled, strict=True))
        for name, lookup in zip(self.categorical, self.lookups, strict=True):
            prepared[name] = lookup(inputs[name])
        return {name: prepared[name] for name in self.columns}

    def encode(self, prepared: dict[str, Any], training: bool | None = None) -> Any:
        parts: list[Any] = []
        if self.numeric:
            scaled = ops.stack([prepared[name] for name in self.numeric], axis=-1)
            missing = ops.isnan(scaled)
            # The mean, which is brought to 0.
            parts += [ops.where(missing, 0.0, scaled), ops.cast(missing, "float32")]
        if self.table is not None:
            ids = ops.stack([prepared[name] for name in self.categorical], axis=-1)
            embedded = self.table(ids + self.offsets)
            parts.append(ops.reshape(embedded, (-1, self.embedding * len(self.categorical))))
        features = ops.concatenate([ops.cast(p, self.compute_dtype) for p in parts], axis=-1)
        for layer in self.hidden:
            features = layer(features)
            if self.dropout:
                features = self.drop(features, training=training)
        return features

    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        described: dict[str, dict[str, Any]] = {}
        for name, mean, deviation in zip(self.numeric, *self._statistics(), strict=True):
            described[name] = {
                "what": "(number - `mean`) / `deviation`, NaN where it is not known",
                "mean": float(mean),
                "deviation": float(deviation),
            }
        for name, lookup in zip(self.categorical, self.lookups, strict=True):
            known = lookup.get_vocabulary(include_special_tokens=False)
            described[name] = {
                "what": "1 + the value's place in `vocabulary`, 0 for any other",
                "ids_below": len(known) + 1,
                "vocabulary": [value if isinstance(value, str) else int(value) for value in known],
            }
        return {name: described[name] for name in self.columns}

    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and deviations of the numeric columns."""
        stats = [c for c in self.columns.values() if isinstance(c, Numeric)]
        deviation = np.sqrt(np.array([s.variance if s.variance > 0 else 1.0 for s in stats]))
        return np.array([s.mean for s in stats], "float32"), deviation.astype("float32")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        width = 2 * len(self.numeric) + self.embedding * len(self.categorical)
        return (None, self.units[-1] if self.units else width)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "columns": {name: column.get_config() for name, column in self.columns.items()},
            "units": list(self.units),
            "embedding": self.embedding,
            "activation": self.activation,
            "dropout": self.dropout,
        }


def _column(name: str, given: Any) -> Numeric | Categorical:
    if isinstance(given, (Numeric, Categorical)):
        return given
    if isinstance(given, Mapping) and given.get("kind") in ("numeric", "categorical"):
        arguments = {key: value for key, value in given.items() if key != "kind"}
        return Numeric(**arguments) if given["kind"] == "numeric" else Categorical(**arguments)
    raise TypeError(
        f"Column {name!r} of encoders.Tabular came as {given!r}; expected encoders.Numeric or "
        "encoders.Categorical."
    )


def _lookup(name: str, column: Categorical) -> Any:
    if column.text:
        return keras.layers.StringLookup(
            vocabulary=column.vocabulary, num_oov_indices=1, name=f"{name}_lookup"
        )
    return keras.layers.IntegerLookup(
        vocabulary=column.vocabulary, num_oov_indices=1, name=f"{name}_lookup"
    )


def _infer(values: np.ndarray, max_categories: int) -> Numeric | Categorical:
    if values.dtype.kind in "iufb":
        numbers = values.astype("float64")
        there = numbers[np.isfinite(numbers)]
        return Numeric(there.mean(), there.var()) if there.size else Numeric()
    texts = [str(v) for v in values.reshape(-1) if v is not None and v == v and str(v) != ""]
    names, counts = np.unique(texts, return_counts=True)
    kept = sorted(zip(names, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return Categorical([str(name) for name, _ in kept[:max_categories]] or ["unknown"])
