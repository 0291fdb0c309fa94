"""What data a run was trained on: a digest of every byte, and a description."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl._labels import MISSING
from keras_mtl.data._columns import Column, Sequences
from keras_mtl.data.examples import Examples

Parts = Mapping[str, Any]


def parts_of(data: Any) -> dict[str, Any]:
    """The parts of a run's data by name; one part alone is "train".

    Raises:
        TypeError: If a part is neither `Examples` nor a `tf.data.Dataset`.
    """
    if data is None:
        return {}
    parts = dict(data) if isinstance(data, Mapping) else {"train": data}
    for name, part in parts.items():
        if not isinstance(part, (Examples, tf.data.Dataset)):
            raise TypeError(
                f"`data` has a {type(part).__name__} as {name!r}; expected keras_mtl.data.Examples, a "
                "tf.data.Dataset, or a dict of them such as {'train': ..., 'valid': ...}."
            )
    return parts


def fingerprint(parts: Parts) -> str | None:
    """The SHA-256 of names, types, shapes and values of all columns; None if not all are in memory.

    It does not depend on the order of columns, and it does on that of rows.
    """
    if not parts or not all(isinstance(part, Examples) for part in parts.values()):
        return None
    made = hashlib.sha256()
    for name in sorted(parts):
        for kind in ("inputs", "labels", "weights"):
            columns = getattr(parts[name], kind)
            for column in sorted(columns):
                _add(made, f"{name}/{kind}/{column}", columns[column])
    return made.hexdigest()


def described(parts: Parts) -> dict[str, Any]:
    """Of each part: rows, the shape and type of a row of each input, labels that are there by task."""
    return {
        name: _of_examples(part) if isinstance(part, Examples) else _of_dataset(part)
        for name, part in parts.items()
    }


def _of_examples(rows: Examples) -> dict[str, Any]:
    return {
        "rows": len(rows),
        "inputs": {
            name: {"shape": _row_shape(column), "dtype": str(column.dtype)}
            for name, column in rows.inputs.items()
        },
        "labels": {name: _present(column) for name, column in rows.labels.items()},
    }


def _of_dataset(dataset: tf.data.Dataset) -> dict[str, Any]:
    spec = dataset.element_spec
    parts = spec if isinstance(spec, tuple) else (spec,)
    inputs = parts[0] if isinstance(parts[0], Mapping) else {"": parts[0]}
    labels = parts[1] if len(parts) > 1 and isinstance(parts[1], Mapping) else {}
    return {
        "rows": None,
        "inputs": {
            str(name): {"shape": list(tensor.shape)[1:], "dtype": tensor.dtype.name}
            for name, tensor in inputs.items()
            if isinstance(tensor, tf.TensorSpec) and tensor.shape.rank is not None
        },
        "labels": {str(name): None for name in labels},
        "element_spec": str(spec),
    }


def _row_shape(column: Column) -> list[int | None]:
    return [None] if isinstance(column, Sequences) else list(column.shape[1:])


def _present(column: Column) -> int:
    values = column.values if isinstance(column, Sequences) else column
    there = ~np.isnan(values) if values.dtype.kind == "f" else values != MISSING
    return int(there.sum())


def _add(made: Any, name: str, column: Column) -> None:
    arrays = [column.values, column.splits] if isinstance(column, Sequences) else [column]
    for array in arrays:
        made.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        if array.dtype.hasobject:
            texts = [str(value).encode() for value in array.reshape(-1)]
            made.update(np.array([len(text) for text in texts], "int64").tobytes())
            made.update(b"".join(texts))
        else:
            made.update(np.ascontiguousarray(array).data)
