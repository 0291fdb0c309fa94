"""Inputs, labels and weights by name, whatever form they came in."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl._names import refuse_unknown


def by_task(argument: str, given: Any, task_names: list[str]) -> dict[str, Any]:
    """Labels or sample weights by task; one weight a row is taken for every task.

    Raises:
        TypeError: If they are given by position.
        ValueError: If a task is unknown.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        refuse_unknown(argument, given, task_names)
        return dict(given)
    by_position = isinstance(given, (list, tuple))
    if argument == "sample_weight" and not by_position:
        return dict.fromkeys(task_names, given)
    if len(task_names) == 1 and not by_position:
        return {task_names[0]: given}
    raise TypeError(
        f"`{argument}` must be a dict from task names {task_names}, but came as a "
        f"{type(given).__name__}; nothing is matched by position."
    )


def inputs_in(structure: Any, x: Any) -> Any:
    """Inputs in a model's own structure, from a dict by name that may hold more."""
    if not isinstance(x, Mapping):
        return x
    if isinstance(structure, Mapping):
        return {name: x[name] for name in structure if name in x}
    if isinstance(structure, keras.KerasTensor) and structure.name in x:
        return x[structure.name]
    return x


def texts_as_tensors(x: Any) -> Any:
    """Inputs with arrays of text as string tensors, which Keras does not make by itself."""

    def convert(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype.kind in "OUS":
            return keras.ops.convert_to_tensor(as_text(value), dtype="string")
        return value

    return keras.tree.map_structure(convert, x) if isinstance(x, (Mapping, np.ndarray)) else x


def as_text(values: np.ndarray) -> np.ndarray:
    """An array of texts as `str`; bytes, which TensorFlow makes of them, are UTF-8."""
    try:
        return values.astype(str)
    except UnicodeDecodeError:
        texts = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in values.flat]
        return np.array(texts).reshape(values.shape)
