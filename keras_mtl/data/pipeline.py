"""How rows become batches: indices are shuffled and batched, and rows gathered batch by batch.

Shuffling eight bytes a row, and gathering whole batches in one operation, keeps the pipeline ahead
of the training step without a buffer of decoded rows.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.data._columns import Column, Sequences


def index_batches(
    rows: int,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int | None = None,
    lengths: np.ndarray | None = None,
    repeat: bool = False,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Batches of row indices, `(B,)` int64, with a known number of batches.

    Args:
        rows: How many rows there are.
        batch_size: Rows a batch.
        shuffle: In a new order each time it is read; the order depends on `seed` and on how often
            the data set was read before.
        seed: Makes the orders repeatable.
        lengths: `(rows,)` lengths to batch by, rows of about one length together.
        repeat: Without end.
        drop_remainder: Leaves out batches that are not full.

    Raises:
        ValueError: If `batch_size` is not positive or no batch would be left.
    """
    if isinstance(batch_size, bool) or int(batch_size) != batch_size or batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size!r}; expected a positive whole number.")
    if drop_remainder and rows < batch_size:
        raise ValueError(
            f"`drop_remainder=True` leaves no batch of {batch_size} from {rows} rows; use a smaller "
            "batch."
        )
    indices = tf.data.Dataset.range(rows)
    if shuffle:
        indices = indices.shuffle(rows, seed=seed)
    if lengths is None:
        batches = indices.batch(batch_size, drop_remainder=drop_remainder)
    else:
        batches = _bucketed(indices, batch_size, lengths, drop_remainder)
        if shuffle:
            # Buckets give their batches in bursts; mix them.
            batches = batches.shuffle(16, seed=seed)
    batches = one_order_a_pass(batches) if shuffle else batches
    return batches.repeat() if repeat else batches


def one_order_a_pass(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches, with a new order drawn only when a pass really begins.

    Keras makes more iterators than it reads. A shuffle draws its order when an iterator is made;
    behind this it draws when the first batch is asked for, so that the order of epoch e is the e-th
    one whoever reads, and a resumed run can find its place.
    """
    size = batches.cardinality()
    lazy = tf.data.Dataset.from_tensors(0).flat_map(lambda _: batches)
    return lazy.apply(tf.data.experimental.assert_cardinality(size))


def taker(values: Column, padding: int) -> Callable[[Any], Any]:
    """A function from row indices `(B,)` to those rows of a column, `(B, ...)`.

    Args:
        values: The column.
        padding: What fills sequences up to the longest; text is filled with "", and float labels
            with NaN (where `padding` is -1).
    """
    if isinstance(values, Sequences):
        ragged = values.ragged()
        fill: Any = padding
        if ragged.dtype == tf.string:
            fill = ""
        elif ragged.dtype.is_floating and padding == -1:
            fill = float("nan")
        default = tf.constant(fill, ragged.dtype)
        return lambda rows: tf.gather(ragged, rows).to_tensor(default)
    tensor = tf.constant(values.astype(str) if values.dtype == object else values)
    return lambda rows: tf.gather(tensor, rows)


def _bucketed(
    indices: tf.data.Dataset, batch_size: int, lengths: np.ndarray, drop_remainder: bool
) -> tf.data.Dataset:
    # Eight buckets of about as many rows each.
    edges = sorted({int(e) + 1 for e in np.quantile(lengths, np.arange(1, 8) / 8)})
    known = tf.constant(lengths, tf.int64)
    batches = indices.bucket_by_sequence_length(
        lambda row: tf.cast(tf.gather(known, row), tf.int32),
        edges,
        [batch_size] * (len(edges) + 1),
        drop_remainder=drop_remainder,
    )
    counts = np.bincount(np.searchsorted(edges, lengths, side="right"), minlength=len(edges) + 1)
    full = counts // batch_size if drop_remainder else -(-counts // batch_size)
    return batches.apply(tf.data.experimental.assert_cardinality(int(full.sum())))
