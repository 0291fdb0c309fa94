"""Rows of a model under the names of its inputs."""

from collections.abc import Mapping
from typing import Any


def by_input(model: Any, rows: Any) -> Mapping[str, Any]:
    """Rows as a dict from input names to arrays, also if they are an array for the only input.

    Raises:
        ValueError: If they are an array, and the model has several inputs.
    """
    if isinstance(rows, Mapping):
        return rows
    names = [tensor.name for tensor in model.inputs]
    if len(names) > 1:
        raise ValueError(f"The model has the inputs {names}; give a dict of them.")
    return {names[0]: rows}
