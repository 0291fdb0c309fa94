"""Which number of a task's answer is explained."""

from typing import Any, NamedTuple

import numpy as np

from keras_mtl._names import nearest


class Target(NamedTuple):
    """One number a row, made of what a task serves.

    Attributes:
        seed: `(n, ...)`, of the shape of the served output: the number is the sum of both multiplied.
        names: What is explained of each row, n of them; "" where there is nothing to tell apart.
    """

    seed: np.ndarray
    names: list[str]


def target_of(
    name: str, task: Any, served: np.ndarray, chosen: Any, position: int | None, there: Any
) -> Target:
    """The chance of a class, or a value in its own units.

    Args:
        name: The task's name.
        task: Its object, or None for an output that has none.
        served: `(n, ...)`, what it answers.
        chosen: A class or dimension, by name or number; None for what the model decides, the yes of
            two classes, the likeliest of several labels, the sum of several dimensions.
        position: Of sequences, the only position that counts; all that are there by default.
        there: `(n, T)`, which positions are no padding, where the inputs tell.

    Raises:
        ValueError: If there is no such class, dimension or position.
    """
    seed = np.ones(served.shape)
    names = [""] * len(served)
    known = _known(task, served)
    at = None if chosen is None else _index(name, chosen, known)
    if served.ndim == 1 or served.shape[-1] == 1:
        if len(known) == 2:
            seed *= -1 if at == 0 else 1
            names = [known[1 if at is None else at]] * len(served)
    elif at is None and task is not None and task.classes is None:
        names = [" + ".join(known)] * len(served)
    else:
        ids = np.full(served.shape[:-1], at) if at is not None else _decided(task, served)
        seed = (np.arange(served.shape[-1]) == ids[..., None]).astype("float64")
        if ids.ndim == 1:
            names = [known[i] for i in ids]
        elif at is not None:
            names = [known[at]] * len(served)
    sequence = served.ndim > 2
    if sequence and there is not None and there.shape == served.shape[:2]:
        seed *= there.reshape(*there.shape, *(1,) * (served.ndim - 2))
    if position is not None and sequence:
        if not 0 <= position < served.shape[1]:
            raise ValueError(
                f"`position` is {position!r}, but task {name!r} answers {served.shape[1]} positions; "
                f"expected 0 to {served.shape[1] - 1}."
            )
        seed[:, np.arange(served.shape[1]) != position] = 0
    return Target(seed, names)


def _known(task: Any, served: np.ndarray) -> list[str]:
    """The names by which a part of the answer may be chosen."""
    if task is not None and task.classes is not None:
        return list(task.classes)
    told = {} if task is None else task.describe()
    width = 1 if served.ndim == 1 else served.shape[-1]
    return list(told.get("dimensions", [str(i) for i in range(width)]))


def _index(name: str, chosen: Any, known: list[str]) -> int:
    if isinstance(chosen, str) and chosen in known:
        return known.index(chosen)
    whole = isinstance(chosen, (int, np.integer)) and not isinstance(chosen, bool)
    if whole and 0 <= chosen < len(known):
        return int(chosen)
    near = nearest(str(chosen), known)
    raise ValueError(
        f"`target` of task {name!r} is {chosen!r}; expected one of {known[:20]} or its number"
        + (f"; did you mean {near!r}?" if near else ".")
    )


def _decided(task: Any, served: np.ndarray) -> np.ndarray:
    if task is None or task.elementwise:
        return np.argmax(served, axis=-1)
    return np.asarray(task.labels_from(served)).reshape(served.shape[:-1]).astype("int64")
