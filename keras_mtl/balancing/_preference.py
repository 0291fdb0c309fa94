"""What a user would rather have: a number for each task, by name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_mtl._names import refuse_unknown


def check_numbers(argument: str, given: Mapping[str, float] | None) -> dict[str, float]:
    """Numbers by task name, not negative.

    Raises:
        TypeError: If they are not given by name.
        ValueError: If one is negative or not finite, or all are 0.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`{argument}` must be a dict from task names to numbers, but came as a "
            f"{type(given).__name__}; nothing is matched by position."
        )
    for name, value in given.items():
        if not math.isfinite(value) or value < 0:
            raise ValueError(
                f"`{argument}` of task {name!r} is {value!r}; expected a finite number that is not "
                "negative."
            )
    return {name: float(value) for name, value in given.items()}


def vector_of(
    argument: str, given: Mapping[str, float], task_names: Sequence[str], default: float
) -> np.ndarray:
    """The numbers of the K tasks in their order, `(K,)`.

    Raises:
        ValueError: If a task is unknown.
    """
    refuse_unknown(argument, given, task_names)
    return np.array([given.get(name, default) for name in task_names], "float32")


def shares_of(preference: Any, present: Any) -> Any:
    """A preference over the tasks that are present, scaled to sum to 1, `(K,)`."""
    wanted = present * preference
    total = ops.sum(wanted)
    return wanted / ops.where(total > 0, total, 1.0)
