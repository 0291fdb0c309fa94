"""What a label may say besides its value: that it is missing, or that its class was never seen.

A missing label is NaN where labels are floats and -1 where they are integers. It is as if the row
were not in the batch for that task. A class that only the validation or test split has gets an id
of -2 or less: it can never be predicted, so it counts as an error, and it is never taken for a
missing label.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from keras import ops

MISSING = -1
"""The integer that stands for a label that is not there."""

logger = logging.getLogger("keras_mtl")


def present(labels: Any) -> Any:
    """Tells which labels are there: a boolean tensor of the shape of `labels`.

    Floats are present unless NaN, signed integers unless -1, strings unless empty; booleans and
    unsigned integers cannot say that they are missing and always count as present.
    """
    dtype = str(np.dtype(labels.dtype)) if isinstance(labels, np.ndarray) else str(labels.dtype)
    if "float" in dtype:
        return ops.logical_not(ops.isnan(labels))
    if "uint" in dtype or "bool" in dtype:
        return ops.ones_like(labels, dtype="bool")
    return ops.not_equal(labels, MISSING)


def known(labels: Any) -> Any:
    """Tells which labels a loss can be computed of: present, and of a class that the task has."""
    dtype = str(labels.dtype)
    if "float" in dtype or "uint" in dtype or "bool" in dtype:
        return present(labels)
    return ops.greater_equal(labels, 0)


def is_missing(value: Any) -> bool:
    """Whether one raw label read from a file or a table stands for "no label here".

    >>> [is_missing(v) for v in (None, float("nan"), "", -1, 0, "no")]
    [True, True, True, True, False, False]
    """
    if value is None or (isinstance(value, str) and value == ""):
        return True
    if isinstance(value, (float, np.floating)):
        return bool(np.isnan(value))
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value) == MISSING
    return False


def encode_classes(values: Iterable[Any], classes: Sequence[str], *, task: str) -> np.ndarray:
    """Turns class names into ids: the index in `classes`, -1 if missing, -2 and below if unseen.

    >>> encode_classes(["b", "a", None], ["a", "b"], task="letter")
    array([ 1,  0, -1], dtype=int32)
    """
    index = {name: i for i, name in enumerate(classes)}
    unseen: dict[str, int] = {}
    ids = []
    for value in values:
        if is_missing(value):
            ids.append(MISSING)
        elif str(value) in index:
            ids.append(index[str(value)])
        else:
            ids.append(-2 - unseen.setdefault(str(value), len(unseen)))
    _tell_unseen(unseen, "classes", task)
    return np.asarray(ids, dtype="int32")


def encode_tags(
    sequences: Iterable[Sequence[str]], tags: Sequence[str], *, task: str
) -> list[np.ndarray]:
    """Turns sequences of BIO tags into sequences of ids; an unseen span type keeps its spans.

    The t-th unseen type becomes -2-2t where it begins and -3-2t where it goes on, so that the span
    F1 still counts its spans as missed.

    >>> encode_tags([["O", "B-x"], ["B-y", "I-y"]], ["O", "B-x", "I-x"], task="slots")
    [array([0, 1], dtype=int32), array([-2, -3], dtype=int32)]
    """
    index = {name: i for i, name in enumerate(tags)}
    unseen_types: dict[str, int] = {}
    unseen_tags: dict[str, int] = {}
    encoded = []
    for sequence in sequences:
        ids = []
        for tag in sequence:
            if is_missing(tag):
                ids.append(MISSING)
            elif tag in index:
                ids.append(index[tag])
            else:
                prefix, _, span = tag.partition("-")
                t = unseen_types.setdefault(span, len(unseen_types))
                ids.append((-3 if prefix == "I" else -2) - 2 * t)
                unseen_tags.setdefault(tag, 0)
        encoded.append(np.asarray(ids, dtype="int32"))
    _tell_unseen(unseen_tags, "tags", task)
    return encoded


def decode_classes(ids: Any, classes: Sequence[str]) -> list[str]:
    """The names behind class ids; an unseen class reads `<unseen-0>`, a missing one is empty."""
    return [_decode_class(int(i), classes) for i in np.asarray(ids).reshape(-1)]


def decode_tags(ids: Any, tags: Sequence[str]) -> list[str]:
    """The tags behind one sequence of ids; an unseen type reads `B-<unseen-0>`."""
    return [_decode_tag(int(i), tags) for i in np.asarray(ids).reshape(-1)]


def _decode_class(i: int, classes: Sequence[str]) -> str:
    if i == MISSING:
        return ""
    return classes[i] if i >= 0 else f"<unseen-{-2 - i}>"


def _decode_tag(i: int, tags: Sequence[str]) -> str:
    if i == MISSING:
        return ""
    if i >= 0:
        return tags[i]
    t, inside = divmod(-2 - i, 2)
    return f"{'I' if inside else 'B'}-<unseen-{t}>"


def _tell_unseen(unseen: dict[str, int], what: str, task: str) -> None:
    if unseen:
        named = ", ".join(repr(name) for name in list(unseen)[:10])
        more = f" and {len(unseen) - 10} more" if len(unseen) > 10 else ""
        logger.warning(
            "task %r: %d %s of this split are not among those of the task and count as errors: %s%s",
            task,
            len(unseen),
            what,
            named,
            more,
        )
