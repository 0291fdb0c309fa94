"""Methods by name: what `balancer="cagrad"`, `sharing="mmoe"` and the like stand for."""

import inspect
from collections.abc import Mapping
from typing import Any

import keras

from keras_mtl._names import nearest


def by_file_name(scope: Mapping[str, Any], base: Any) -> dict[str, Any]:
    """The subclasses of `base` in a folder's `__init__`, by the names of their files."""
    return {
        found.__module__.rpartition(".")[2]: found
        for found in scope.values()
        if inspect.isclass(found) and issubclass(found, base) and "._" not in found.__module__
    }


def from_identifier(argument: str, identifier: Any, base: Any, known: Mapping[str, Any]) -> Any:
    """A method from its name, its config, or itself.

    Raises:
        ValueError: If none has that name.
        TypeError: If it is neither a name, a config nor an object of `base`.
    """
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str):
        if identifier in known:
            return known[identifier]()
        near = nearest(identifier, known)
        raise ValueError(
            f"`{argument}` is {identifier!r}, expected one of {sorted(known)}"
            + (f"; did you mean {near!r}?" if near else ".")
        )
    folder = ".".join(base.__module__.split(".")[:2])
    raise TypeError(
        f"`{argument}` must be a name or a {folder} object, but came as {identifier!r} of type "
        f"{type(identifier).__name__}."
    )
