"""Who shares which parameters: from one trunk to learned relations between tasks.

A sharing scheme is a Keras layer: features, `(B, d)`, `(B, T, d)` or `(B, h, w, d)`, to
`{task: features}`. Losses of its own, such as the distance of soft sharing, go through `add_loss`.

To add one: a file with a subclass of `Sharing`, a test file of the same name, one line below.
"""

from typing import Any

import keras

from keras_mtl._names import nearest
from keras_mtl.sharing._sharing import Sharing
from keras_mtl.sharing.hard import Hard

_SCHEMES: dict[str, type[Sharing]] = {"hard": Hard}


def names() -> list[str]:
    """The names that `build_model(sharing=...)` takes."""
    return sorted(_SCHEMES)


def get(identifier: Any) -> Sharing:
    """A sharing scheme from its name, its config, or itself.

    Raises:
        ValueError: If no scheme has that name.
        TypeError: If it is neither a name, a config nor a scheme.
    """
    if isinstance(identifier, Sharing):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str):
        if identifier in _SCHEMES:
            return _SCHEMES[identifier]()
        near = nearest(identifier, names())
        raise ValueError(
            f"`sharing` is {identifier!r}, expected one of {names()}"
            + (f"; did you mean {near!r}?" if near else ".")
        )
    raise TypeError(
        f"`sharing` must be a name or a keras_mtl.sharing object, but came as {identifier!r} of "
        f"type {type(identifier).__name__}."
    )


__all__ = ["Hard", "Sharing", "get", "names"]
