"""Which input of a model an embedding stands for, found out by changing inputs one at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_mtl._input_gradients import EmbeddingCall, EmbeddingReader

# So many rows are enough to find out what an embedding reads.
_TRIED = 64

# As many words as make a raw text longer than a category; known to no vocabulary.
_UNKNOWN = "\x00no \x00such \x00words"


class Embedded(NamedTuple):
    """The calls of embedding layers, told apart by the inputs that they read.

    Attributes:
        owners: By call, the inputs that it reads and where: a mask of `ids.shape[1:]`, or None for
            the whole of it. A call that no input moves (positions, segments) has none.
        texts: The inputs that are read word by word.
        pieces: Those of them whose words are cut into pieces, so that places are not words.
    """

    owners: list[dict[str, np.ndarray | None]]
    texts: set[str]
    pieces: set[str]

    @property
    def inputs(self) -> set[str]:
        """All inputs that are embedded."""
        return {name for owner in self.owners for name in owner}


def embedded_in(reader: EmbeddingReader, inputs: Mapping[str, np.ndarray]) -> Embedded:
    """Finds what each embedding call reads.

    Args:
        reader: Of the model.
        inputs: Rows `(n, ...)` by input name; the first of them are looked at.

    Raises:
        ValueError: If one place of an embedding reads two inputs.
    """
    inputs = {name: values[:_TRIED] for name, values in inputs.items()}
    usual = reader.calls(inputs)
    owners: list[dict[str, np.ndarray | None]] = [{} for _ in usual]
    texts: set[str] = set()
    pieces: set[str] = set()
    if not usual:
        return Embedded(owners, texts, pieces)
    for name, values in inputs.items():
        moved: list[Any] = [None] * len(usual)
        for other in _changed(values):
            found = reader.calls({**inputs, name: other})
            moved = [_moved(*both) for both in zip(moved, usual, found, strict=True)]
        if values.ndim > 1 or any(m is True or (m is not None and m.sum() > 1) for m in moved):
            moved = [None if m is None or not np.any(m) else True for m in moved]
            if any(moved):
                texts.add(name)
                pieces |= {name} if _in_pieces(reader, inputs, name, usual) else set()
        for owner, mask in zip(owners, moved, strict=True):
            if mask is not None and np.any(mask):
                owner[name] = None if mask is True else mask
    _check(owners, usual)
    return Embedded(owners, texts, pieces)


def texts_in(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs that are read word by word, as words `(n, T)`, "" as padding; texts cut at blanks."""
    found = {}
    for name in sorted(embedded_in(EmbeddingReader(model, inputs), inputs).texts):
        values = inputs[name]
        if values.ndim > 1:
            found[name] = values.astype(str).astype(object)
            continue
        rows = [str(text).split() for text in values]
        found[name] = np.full((len(rows), max(1, *map(len, rows))), "", dtype=object)
        for row, words in zip(found[name], rows, strict=True):
            row[: len(words)] = words
    return found


def _changed(values: np.ndarray) -> list[np.ndarray]:
    """Rows with another content, each fit to be looked up where these are."""
    rolled = np.roll(values, 1, axis=0)
    if values.dtype.kind in "OUS":
        return [rolled, np.full_like(values, ""), np.full_like(values, _UNKNOWN, dtype=object)]
    if values.dtype.kind in "iu":
        return [rolled, np.full_like(values, values.min()), np.zeros_like(values)]
    return [rolled]


def _moved(before: Any, usual: EmbeddingCall, found: EmbeddingCall) -> Any:
    """Which places hold another id in some row: a mask, or True if even their number has changed."""
    if before is True or usual.ids.shape != found.ids.shape:
        return True
    here = (usual.ids != found.ids).any(axis=0)
    return here if before is None else before | here


def _in_pieces(
    reader: EmbeddingReader, inputs: Any, name: str, usual: Sequence[EmbeddingCall]
) -> bool:
    """Whether a change of the first word alone moves other places than the first, or their number."""
    values = inputs[name]
    if values.ndim == 1:
        return False
    for other in _changed(values):
        mixed = np.where(np.arange(values.shape[1]) == 0, other, values)
        found = reader.calls({**inputs, name: mixed})
        for one, two in zip(usual, found, strict=True):
            if one.ids.shape != two.ids.shape:
                return True
            moved = one.ids != two.ids
            if moved.ndim > 1 and len(moved) == len(values) and moved[:, 1:].any():
                return True
    return False


def _check(owners: Sequence[Mapping[str, Any]], calls: Sequence[EmbeddingCall]) -> None:
    for owner, call in zip(owners, calls, strict=True):
        masks = [
            np.ones(call.ids.shape[1:], int) if mask is None else mask.astype(int)
            for mask in owner.values()
        ]
        if len(masks) > 1 and np.max(np.sum(masks, axis=0)) > 1:
            raise ValueError(
                f"The layer {call.layer.name!r} embeds the inputs {list(owner)} together, so that "
                "its vectors cannot be told apart; use method='permutation'."
            )
