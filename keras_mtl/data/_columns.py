"""A column of rows: an array of one shape a row, or sequences of different lengths."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl._by_name import as_text


class Sequences:
    """Rows of different lengths, kept as one flat array and the places where rows end.

    Args:
        values: All elements, row after row, `(total,)`.
        splits: Where rows begin and the last one ends, `(rows + 1,)`.
    """

    def __init__(self, values: np.ndarray, splits: np.ndarray):
        self.values = values
        self.splits = np.asarray(splits, "int64")

    @classmethod
    def of(cls, rows: Sequence[Any]) -> "Sequences":
        """From a list of sequences of strings or numbers."""
        arrays = [np.asarray(row) for row in rows]
        text = any(a.dtype.kind in "USO" for a in arrays)
        floats = any(a.dtype.kind == "f" and a.size for a in arrays)
        dtype = object if text else ("float32" if floats else "int32")
        splits = np.concatenate([[0], np.cumsum([len(a) for a in arrays])])
        values = np.concatenate([a.astype(dtype) for a in arrays]) if arrays else np.zeros(0, dtype)
        return cls(values, splits)

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.splits)

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.splits[row] : self.splits[row + 1]]

    def select(self, rows: np.ndarray) -> "Sequences":
        rows = np.asarray(rows, "int64")
        lengths = self.lengths[rows]
        splits = np.concatenate([[0], np.cumsum(lengths)])
        # The place of each element: its row's beginning, and its place in the row.
        within = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
        return Sequences(self.values[np.repeat(self.splits[rows], lengths) + within], splits)

    def ragged(self) -> tf.RaggedTensor:
        values = tf.constant(as_text(self.values) if self.dtype == object else self.values)
        return tf.RaggedTensor.from_row_splits(values, self.splits, validate=False)


Column = np.ndarray | Sequences


def column(given: Any) -> Column:
    """The column that an array, a list of scalars or a list of sequences stands for.

    Integers become int32 (int64 where they do not fit), floats float32, text objects.
    """
    if isinstance(given, Sequences):
        return given
    if (
        isinstance(given, (list, tuple))
        and given
        and not np.isscalar(given[0])
        and given[0] is not None
    ):
        rows = [np.asarray(row) for row in given]
        if all(row.ndim == 1 for row in rows) and (
            len({len(row) for row in rows}) > 1 or rows[0].dtype.kind in "US"
        ):
            return Sequences.of(rows)
    array = np.asarray(given)
    if array.dtype.kind == "O" and array.ndim == 1 and len(array):
        if all(isinstance(v, (list, tuple, np.ndarray)) for v in array):
            return Sequences.of(list(array))
        if all(isinstance(v, (str, bytes)) or v is None for v in array):
            return np.array(["" if v is None else v for v in array], dtype=object)
    if array.dtype.kind == "b":
        return array.astype("int32")
    if array.dtype.kind in "iu":
        small = array.size == 0 or (np.abs(array.astype("int64")) < 2**31).all()
        return array.astype("int32" if small else "int64")
    if array.dtype.kind == "f":
        return array.astype("float32")
    if array.dtype.kind in "US":
        return array.astype(object)
    raise TypeError(
        f"a column holds {array.dtype} of shape {array.shape}; expected numbers, text, or a list of "
        "sequences of them"
    )


def select(rows: Column, indices: np.ndarray) -> Column:
    """Some rows of a column."""
    return rows.select(indices) if isinstance(rows, Sequences) else rows[indices]
