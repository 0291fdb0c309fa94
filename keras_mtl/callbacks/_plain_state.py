"""What other callbacks have come to know since training began, as plain values that a file can hold.

Numbers, strings, None, arrays, and lists, tuples and dicts of them are plain, and so are the comparisons
that Keras's callbacks choose. Nothing else is kept: a file that is read back makes no objects and runs no
code.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

# What Keras sets by itself.
_NOT_STATE = ("_model", "model", "params")
# Keras's callbacks choose between them at their first epoch, and turn the sign of `min_delta` then.
_COMPARISONS = {
    "less": ops.less, "greater": ops.greater, "np.less": np.less, "np.greater": np.greater,
}  # fmt: skip


class NotPlainError(TypeError):
    """A value is not plain."""


def packed(value: Any, arrays: list[np.ndarray]) -> Any:
    """A plain value as what JSON holds; its arrays are put at the end of `arrays`.

    Raises:
        NotPlainError: If it is not plain.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.hasobject:
            raise NotPlainError
        arrays.append(np.array(value))
        return {"scalar" if isinstance(value, np.generic) else "array": len(arrays) - 1}
    if type(value) in (list, tuple):
        return {type(value).__name__: [packed(item, arrays) for item in value]}
    if type(value) is dict:
        return {"dict": [[packed(k, arrays), packed(v, arrays)] for k, v in value.items()]}
    for name, comparison in _COMPARISONS.items():
        if value is comparison:
            return {"comparison": name}
    raise NotPlainError


def unpacked(tree: Any, arrays: Sequence[np.ndarray]) -> Any:
    """The value that `packed` made this of."""
    if not isinstance(tree, dict):
        return tree
    [(kind, content)] = tree.items()
    if kind == "array":
        return np.array(arrays[content])
    if kind == "scalar":
        return arrays[content][()]
    if kind == "comparison":
        return _COMPARISONS[content]
    if kind == "dict":
        return {unpacked(k, arrays): unpacked(v, arrays) for k, v in content}
    items = [unpacked(item, arrays) for item in content]
    return tuple(items) if kind == "tuple" else items


def digests(callbacks: Sequence[Any]) -> list[dict[str, str]]:
    """Of each callback, the plain attributes as they are now, told by their digests."""
    return [
        {name: _digest(*packing) for name, packing in _attributes(callback).items()}
        for callback in callbacks
    ]


def changes(
    callbacks: Sequence[Any], since: Sequence[Mapping[str, str]], arrays: list[np.ndarray]
) -> list[Any]:
    """The plain attributes of each callback that are no longer as `digests` saw them.

    What stayed as it was is not kept, so that settings which the user changes hold.
    """
    found = []
    for name, callback, before in zip(_names(callbacks), callbacks, since, strict=True):
        changed = {
            attribute: packed(getattr(callback, attribute), arrays)
            for attribute, packing in _attributes(callback).items()
            if before.get(attribute) != _digest(*packing)
        }
        found.append([*name, changed])
    return found


def bring_back(
    callbacks: Sequence[Any], kept: Sequence[Any], arrays: Sequence[np.ndarray]
) -> list[str]:
    """Gives callbacks what `changes` kept; returns the classes of those that are not there now."""
    states = {(kind, nth): state for kind, nth, state in kept}
    for name, callback in zip(_names(callbacks), callbacks, strict=True):
        for attribute, tree in states.pop(name, {}).items():
            setattr(callback, attribute, unpacked(tree, arrays))
    return [kind for (kind, _), state in states.items() if state]


def _names(callbacks: Sequence[Any]) -> list[tuple[str, int]]:
    """The class of each callback, and which of that class it is."""
    seen: Counter[str] = Counter()
    names = []
    for callback in callbacks:
        kind = f"{type(callback).__module__}.{type(callback).__qualname__}"
        names.append((kind, seen[kind]))
        seen[kind] += 1
    return names


def _attributes(callback: Any) -> dict[str, tuple[Any, list[np.ndarray]]]:
    found = {}
    for name, value in vars(callback).items():
        arrays: list[np.ndarray] = []
        if name in _NOT_STATE:
            continue
        try:
            found[name] = packed(value, arrays), arrays
        except NotPlainError:
            continue
    return found


def _digest(tree: Any, arrays: Sequence[np.ndarray]) -> str:
    made = hashlib.sha256(json.dumps(tree).encode())
    for array in arrays:
        made.update(f"{array.dtype.str}{array.shape}".encode())
        made.update(np.ascontiguousarray(array).tobytes())
    return made.hexdigest()
