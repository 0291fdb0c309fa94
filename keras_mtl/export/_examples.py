"""Rows as serialised `tf.train.Example`, each feature under the name of an input."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

INPUT = "examples"


def describable(specs: Mapping[str, tf.TensorSpec]) -> bool:
    """Whether every input is a fixed number of values a row, or a sequence of such.

    A feature is a flat list of values, which does not tell more than one free length.
    """
    return all(
        _stored(spec.dtype) is not None and all(size is not None for size in _fixed_sizes(spec))
        for spec in specs.values()
    )


def parsed(examples: Any, specs: Mapping[str, tf.TensorSpec]) -> dict[str, Any]:
    """The inputs that serialised examples hold; sequences are padded with "" or 0 to the longest.

    Args:
        examples: `(B,)` strings.
        specs: The inputs by name.
    """
    found = tf.io.parse_example(examples, {n: _feature(n, s) for n, s in specs.items()})
    inputs = {}
    for name, spec in specs.items():
        value = _padded(found[name], spec) if _free(spec) else found[name]
        inputs[name] = tf.cast(value, spec.dtype) if value.dtype != spec.dtype else value
    return inputs


def serialized(rows: Mapping[str, np.ndarray], specs: Mapping[str, tf.TensorSpec]) -> np.ndarray:
    """`(B,)` serialised examples of rows, as `parsed` reads them."""
    count = len(next(iter(rows.values())))
    return np.array(
        [
            tf.train.Example(
                features=tf.train.Features(
                    feature={
                        name: _values(rows[name][row], spec.dtype) for name, spec in specs.items()
                    }
                )
            ).SerializeToString()
            for row in range(count)
        ],
        object,
    )


def _padded(value: tf.RaggedTensor, spec: tf.TensorSpec) -> Any:
    """As long as the longest, and of length 1 if all are empty, of which convolutions know nothing."""
    longest = tf.maximum(value.bounding_shape(axis=1), 1)
    shape = [-1, longest, *(-1 for _ in spec.shape[2:])]
    return tf.ensure_shape(value.to_tensor(shape=tf.stack(shape)), spec.shape)


def _feature(name: str, spec: tf.TensorSpec) -> Any:
    if not _free(spec):
        return tf.io.FixedLenFeature(spec.shape[1:], _stored(spec.dtype))
    inner = [tf.io.RaggedFeature.UniformRowLength(size) for size in _fixed_sizes(spec)]
    return tf.io.RaggedFeature(_stored(spec.dtype), value_key=name, partitions=inner)


def _free(spec: tf.TensorSpec) -> bool:
    """Whether rows are sequences of any length."""
    return len(spec.shape) > 1 and spec.shape[1] is None


def _fixed_sizes(spec: tf.TensorSpec) -> list[int | None]:
    return list(spec.shape[2:] if _free(spec) else spec.shape[1:])


def _stored(dtype: tf.DType) -> tf.DType | None:
    """What an example keeps such values as: it knows three types."""
    if dtype == tf.string:
        return tf.string
    if dtype.is_floating:
        return tf.float32
    return tf.int64 if dtype.is_integer or dtype.is_bool else None


def _values(row: Any, dtype: tf.DType) -> tf.train.Feature:
    flat = np.asarray(row).reshape(-1)
    if dtype == tf.string:
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in flat]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if dtype.is_floating:
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat.astype("float32")))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=flat.astype("int64")))
