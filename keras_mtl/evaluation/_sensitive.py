"""Which group each row is of: values by attribute, or columns of the data by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._extra import extra_module
from keras_mtl._labels import is_missing
from keras_mtl._names import nearest
from keras_mtl.data import Examples


def sensitive_groups(data: Any, sensitive: Any) -> dict[str, np.ndarray]:
    """The name of each row's group by attribute, `(n,)`; None where it is not known.

    Args:
        data: The rows that the values are of, in this order.
        sensitive: `{attribute: values}`; or the name of an input or label of `data`, or several names.

    Raises:
        TypeError: If rows come in batches, whose order is not known, or `sensitive` is of another kind.
        ValueError: If there is no such column, or values are not one a row of two groups or more.
    """
    if not isinstance(data, Examples):
        raise TypeError(
            f"`sensitive` tells groups row by row, but the data came as {type(data).__name__}, whose "
            "rows may be in any order; give keras_mtl.data.Examples, or arrays with `y`."
        )
    names = [sensitive] if isinstance(sensitive, str) else sensitive
    if isinstance(names, Mapping):
        return {
            str(attribute): _named(attribute, values, len(data))
            for attribute, values in names.items()
        }
    if not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
        raise TypeError(
            f"`sensitive` came as {sensitive!r}; expected {{'sex': values}}, or names of columns of the "
            "data."
        )
    return {name: _named(name, *_column(data, name)) for name in names}


def _column(data: Examples, name: str) -> tuple[Any, int, Sequence[str]]:
    """A column, how many rows there are, and the names of its classes if they are known."""
    if name in data.inputs:
        return data.inputs[name], len(data), ()
    if name in data.labels:
        return data.labels[name], len(data), data.classes.get(name, ())
    columns = [*data.inputs, *data.labels]
    near = nearest(name, columns)
    raise ValueError(
        f"`sensitive` names {name!r}, but the data have the inputs and labels {columns}; "
        + (f"did you mean {near!r}?" if near else "give its values, {'" + name + "': values}.")
    )


def _named(attribute: Any, values: Any, rows: int, classes: Sequence[str] = ()) -> np.ndarray:
    pandas = extra_module("pandas", "fairness", "`sensitive` of evaluate")
    array = np.asarray(values, object)
    if array.shape not in ((rows,), (rows, 1)):
        raise ValueError(
            f"`sensitive` {attribute!r} has values of shape {array.shape}, expected one a row, "
            f"({rows},)."
        )
    array = array.reshape(-1)
    gone = pandas.isna(array)
    named = [
        None if missing or is_missing(value) else _name(attribute, value, classes)
        for value, missing in zip(array.tolist(), gone, strict=True)
    ]
    groups = {name for name in named if name is not None}
    if len(groups) < 2:
        raise ValueError(
            f"`sensitive` {attribute!r} has the groups {sorted(groups)} in {rows} rows; expected at "
            "least two, to compare them."
        )
    return np.array(named, object)


def _name(attribute: Any, value: Any, classes: Sequence[str]) -> str | None:
    if isinstance(value, bytes):
        return value.decode() or None
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(
                f"`sensitive` {attribute!r} has the value {value}; expected groups, names or whole "
                "numbers: make groups of it, with numpy.digitize for instance."
            )
        if value == -1:
            return None
        value = int(value)
    if classes and isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    return str(value)
