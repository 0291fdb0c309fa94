"""From the pieces of words to the rows that a language model reads, and back to words."""

from typing import Any, NamedTuple

from keras import ops


class Packed(NamedTuple):
    """Rows of pieces, as long as the longest.

    Attributes:
        ids: `(B, T)` piece ids, with the start and the end where there are any, then padding.
        mask: `(B, T)`, which of them are no padding.
        firsts: `(B, W)`, where the first piece of each word stands; -1 where it has none, or none
            that there was room for.
    """

    ids: Any
    mask: Any
    firsts: Any


def packed(
    ids: Any, lengths: Any, *, start: int | None, end: int | None, pad: int, longest: int
) -> Packed:
    """The pieces of a row's words, one after the other.

    Args:
        ids: `(B, W, P)`, the pieces of each word.
        lengths: `(B, W)`, how many each has.
        start, end: The ids that a row begins and ends with, or None.
        pad: The id behind the end.
        longest: How many places a row may have; what comes later is left out.
    """
    before, after = int(start is not None), int(end is not None)
    room = longest - before - after
    ids, lengths = ops.cast(ids, "int32"), ops.cast(lengths, "int32")
    rows, words, most = ops.shape(ids)
    there = ops.arange(most, dtype="int32") < ops.expand_dims(lengths, -1)
    flat, there = (ops.reshape(x, (rows, words * most)) for x in (ids, there))
    places = ops.arange(words * most, dtype="int32")
    # Those that are there come first, in their order.
    order = ops.argsort(ops.where(there, places, places + words * most), axis=-1)
    counts = ops.minimum(ops.sum(lengths, axis=-1, keepdims=True), room)
    row = ops.take_along_axis(flat, order, axis=-1)[:, : ops.max(counts)]
    row = ops.pad(row, ((0, 0), (before, after)))
    slots = ops.expand_dims(ops.arange(ops.shape(row)[1], dtype="int32") - before, 0)
    row = ops.where(slots < counts, row, pad)
    if start is not None:
        row = ops.where(slots < 0, start, row)
    if end is not None:
        row = ops.where(slots == counts, end, row)
    firsts = ops.cumsum(lengths, axis=-1) - lengths
    seen = ops.logical_and(lengths > 0, firsts < room)
    return Packed(row, slots < counts + after, ops.where(seen, firsts + before, -1))


def of_words(features: Any, firsts: Any) -> Any:
    """The features of each word's first piece: `(B, T, d)` and `(B, W)` to `(B, W, d)`, else 0."""
    places = ops.arange(ops.shape(features)[1], dtype="int32")
    chosen = ops.equal(ops.expand_dims(firsts, -1), places)
    return ops.matmul(ops.cast(chosen, features.dtype), features)
