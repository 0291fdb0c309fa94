"""Tables in memory: a DataFrame, or a dict of columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._labels import encode_classes, is_missing
from keras_mtl._names import nearest
from keras_mtl.data.examples import Examples


def from_frame(
    table: Any,
    inputs: Sequence[str],
    labels: Mapping[str, str | Sequence[str]],
    *,
    classes: Mapping[str, Sequence[str]] | None = None,
    weights: Mapping[str, str] | None = None,
) -> Examples:
    """Takes the columns of a table as inputs and labels.

    Args:
        table: A pandas DataFrame, or a mapping from column names to arrays of one length.
        inputs: Columns to learn from, each an input of its own name; numbers may hold NaN.
        labels: The column of each task, or several columns for a task of several dimensions.
        classes: Class names of tasks whose labels are names; those not given are the names found,
            sorted.
        weights: The column of each task's row weights.

    Returns:
        The rows; `.classes` holds the class names by task.

    Raises:
        ValueError: If a column is not there or a column cannot be used.

    Example:

    >>> table = {"age": [31, 45], "job": ["cook", "judge"], "buys": ["no", "yes"]}
    >>> rows = from_frame(table, ["age", "job"], {"sale": "buys"})
    >>> rows.classes, rows.labels["sale"]
    ({'sale': ['no', 'yes']}, array([0, 1], dtype=int32))
    """
    names = [str(name) for name in table]
    chosen: dict[str, list[str]] = {
        task: [columns] if isinstance(columns, str) else list(columns)
        for task, columns in labels.items()
    }
    wanted = [*inputs, *(c for columns in chosen.values() for c in columns)]
    for name in [*wanted, *(weights or {}).values()]:
        if name not in names:
            near = nearest(name, names)
            raise ValueError(
                f"Column {name!r} is not in the table, which has {names[:20]}"
                + (f"; did you mean {near!r}?" if near else ".")
            )
    found_classes = {task: [str(c) for c in given] for task, given in (classes or {}).items()}
    encoded: dict[str, Any] = {}
    for task, columns in chosen.items():
        parts = [np.asarray(table[c]) for c in columns]
        if len(parts) > 1:
            encoded[task] = np.stack([_numbers(task, p) for p in parts], axis=-1)
        elif task in found_classes or parts[0].dtype.kind in "OUS":
            texts = [None if is_missing(v) else str(v) for v in parts[0]]
            if task not in found_classes:
                found_classes[task] = sorted({t for t in texts if t is not None})
            encoded[task] = encode_classes(texts, found_classes[task], task=task)
        else:
            encoded[task] = parts[0]
    rows = Examples(
        {name: _input(np.asarray(table[name])) for name in inputs},
        encoded,
        {task: np.asarray(table[column], "float32") for task, column in (weights or {}).items()},
        allow_nan=True,
    )
    rows.classes = found_classes
    return rows


def _input(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "OUS":
        return values
    return np.array(["" if is_missing(v) else str(v) for v in values], dtype=object)


def _numbers(task: str, values: np.ndarray) -> np.ndarray:
    try:
        return values.astype("float32")
    except ValueError:
        raise ValueError(
            f"Task {task!r} takes several columns, which must hold numbers, but one holds "
            f"{values[0]!r}; use one task a column for class names."
        ) from None
