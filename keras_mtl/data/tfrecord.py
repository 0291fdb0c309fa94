"""TFRecord files: rows on disk, with their schema beside them."""

import json
import math
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl._labels import MISSING
from keras_mtl.data._columns import Column
from keras_mtl.data._columns import Sequences as SequenceColumn
from keras_mtl.data._records import record_ends
from keras_mtl.data.examples import Examples
from keras_mtl.data.pipeline import one_order_a_pass

_SCHEMA = "schema.json"
_ROLES = ("inputs", "labels", "weights")
_DTYPES = ("text", "float32", "int32", "int64")


def write_tfrecords(examples: Examples, folder: Any, *, shards: int = 1) -> list[pathlib.Path]:
    """Writes rows as `tf.train.Example` records, and `schema.json` beside them.

    Args:
        examples: The rows.
        folder: Where the files go; made if it is not there.
        shards: How many files; rows are dealt in turn.

    Returns:
        The files. They appear all at once: a write that fails leaves none.

    Raises:
        ValueError: If `shards` is not positive, or records are there already.
        OSError: If the folder cannot be written.
    """
    folder = pathlib.Path(folder)
    if shards < 1 or shards > len(examples):
        raise ValueError(
            f"`shards` is {shards}; expected 1 to {len(examples)}, the number of rows."
        )
    if list(folder.glob("*.tfrecord")):
        raise ValueError(f"{folder} holds records already; give another folder, or remove them.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    names = [f"part-{s:05d}-of-{shards:05d}.tfrecord" for s in range(shards)]
    columns = [(role, n, c) for role in _ROLES for n, c in getattr(examples, role).items()]
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder.parent) as waiting:
        for shard, name in enumerate(names):
            with tf.io.TFRecordWriter(os.path.join(waiting, name)) as writer:
                for row in range(shard, len(examples), shards):
                    features = {f"{r}/{n}": _feature(c[row]) for r, n, c in columns}
                    record = tf.train.Example(features=tf.train.Features(feature=features))
                    writer.write(record.SerializeToString())
        schema = {f"{r}/{n}": _describe(c) for r, n, c in columns}
        with open(os.path.join(waiting, _SCHEMA), "w", encoding="utf-8") as file:
            json.dump({"rows": len(examples), "features": schema}, file, indent=1)
        folder.mkdir(exist_ok=True)
        for name in [*names, _SCHEMA]:
            os.replace(os.path.join(waiting, name), folder / name)
    return [folder / name for name in names]


def read_tfrecords(
    folder: Any,
    batch_size: int = 32,
    *,
    shuffle: int = 0,
    seed: int | None = None,
    cache: bool = False,
    verify: bool = True,
) -> tf.data.Dataset:
    """Batches of `(inputs, labels[, weights])` from a folder that `write_tfrecords` wrote.

    Args:
        folder: The folder of records and their schema.
        batch_size: Rows a batch; sequences are padded to the longest of the batch.
        shuffle: Rows to shuffle among; 0 keeps the order of the files.
        seed: Makes the shuffles repeatable.
        cache: Keeps the parsed rows in memory after the first epoch.
        verify: Reads every record once beforehand, so that damage is told by file and record.

    Raises:
        ValueError: If there is no schema or no record, or a record is damaged or does not have the
            schema.

    A file that is damaged later ends the reading with a `tf.errors.InvalidArgumentError` that names
    it.
    """
    folder = pathlib.Path(folder)
    schema, rows = _read_schema(folder)
    files = sorted(str(p) for p in folder.glob("*.tfrecord"))
    if not files:
        raise ValueError(f"{folder} holds no .tfrecord file; write some with write_tfrecords.")
    spec = {key: _parser(told) for key, told in schema.items()}
    counts = [check_tfrecords(f, spec) if verify else len(record_ends(f)) for f in files]
    if sum(counts) != rows:
        raise ValueError(
            f"{folder} holds {sum(counts)} records, but its schema tells of {rows}; a file is missing "
            "or cut short: write the folder anew."
        )
    # Files are read in turn, one record each, which is the order in which rows were dealt.
    records = tf.data.Dataset.from_tensor_slices((files, np.array(counts, "int64"))).interleave(
        _whole_file, cycle_length=len(files), block_length=1
    )
    if cache:
        records = records.cache()
    if shuffle:
        records = records.shuffle(shuffle, seed=seed)
    batches = records.batch(batch_size)
    batches = batches.apply(tf.data.experimental.assert_cardinality(-(-rows // batch_size)))
    batches = one_order_a_pass(batches) if shuffle else batches

    def parse(batch: Any) -> Any:
        parsed = tf.io.parse_example(batch, spec)
        parts: dict[str, dict[str, Any]] = {role: {} for role in _ROLES}
        for key, told in schema.items():
            role, name = key.split("/", 1)
            parts[role][name] = _dense(parsed[key], told, role)
        return tuple(parts[role] for role in _ROLES if role != "weights" or parts[role])

    return batches.map(parse, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def check_tfrecords(path: Any, spec: Any = None) -> int:
    """Reads every record of a file; returns how many there are.

    Raises:
        ValueError: If a record is damaged or does not have the features of `spec`; names file and
            record.
    """
    # A length that is past the file's end must not reach TensorFlow, which asks for that much memory.
    record_ends(path)
    records = tf.data.TFRecordDataset(str(path))
    count = 0
    iterator = iter(records)
    while True:
        try:
            record = next(iterator)
            if spec is not None:
                tf.io.parse_example(tf.reshape(record, (1,)), spec)
        except StopIteration:
            return count
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            why = str(error.message).split(" [Op:")[0].split("\n")[0]
            raise ValueError(
                f"{path}: record {count} cannot be read ({why}); the file is damaged or was written "
                "with another schema: write it anew."
            ) from None
        count += 1


def _whole_file(file: Any, count: Any) -> tf.data.Dataset:
    """The records of a file; an error that names it, where one of them cannot be read."""

    def fail(name: Any) -> Any:
        with tf.control_dependencies([tf.Assert(False, [name, "is damaged: write it anew."])]):
            return tf.identity(name)

    # The error itself would not say where; what is asked for beyond the last good record does.
    readable = tf.data.TFRecordDataset(file).ignore_errors()
    return readable.concatenate(tf.data.Dataset.from_tensors(file).map(fail)).take(count)


def _read_schema(folder: pathlib.Path) -> tuple[dict[str, Any], int]:
    path = folder / _SCHEMA
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{folder} has no {_SCHEMA}; expected a folder that write_tfrecords wrote."
        ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); write the folder anew.") from None
    size = sum(p.stat().st_size for p in folder.glob("*.tfrecord"))
    if not isinstance(told, dict) or not _is_count(told.get("rows")):
        raise ValueError(f"{path} is damaged (no number of rows); write the folder anew.")
    features = told.get("features")
    if not isinstance(features, dict) or not features:
        raise ValueError(f"{path} is damaged (no features); write the folder anew.")
    for key, feature in features.items():
        if not _is_feature(key, feature, size):
            raise ValueError(f"{path} is damaged (feature {key!r}); write the folder anew.")
    return features, told["rows"]


def _is_feature(key: str, told: Any, size: int) -> bool:
    """Whether a schema's entry is one that could have been written, with records of `size` bytes."""
    role, _, name = key.partition("/")
    if role not in _ROLES or not name or not isinstance(told, dict):
        return False
    shape = told.get("shape", ())
    if told.get("dtype") not in _DTYPES or not (shape is None or isinstance(shape, list)):
        return False
    sides = shape or []
    # Every value takes a byte at the least.
    return all(map(_is_count, sides)) and math.prod(sides) <= size


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _describe(values: Column) -> dict[str, Any]:
    kind = "text" if values.dtype == object else str(values.dtype)
    shape: Sequence[int] | None = None
    if not isinstance(values, SequenceColumn):
        shape = [int(s) for s in values.shape[1:]]
    return {"dtype": kind, "shape": shape}


def _feature(value: Any) -> tf.train.Feature:
    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind in "OUS":
        texts = [v if isinstance(v, bytes) else str(v).encode() for v in flat]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=texts))
    if flat.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=flat))


def _parser(told: dict[str, Any]) -> Any:
    stored = {"text": tf.string, "float32": tf.float32}.get(told["dtype"], tf.int64)
    if told["shape"] is None:
        return tf.io.RaggedFeature(stored)
    return tf.io.FixedLenFeature(told["shape"], stored)


def _dense(parsed: Any, told: dict[str, Any], role: str) -> Any:
    if told["shape"] is None:
        fill: Any = MISSING if role == "labels" else 0
        if told["dtype"] == "text":
            fill = ""
        elif told["dtype"] == "float32" and role == "labels":
            fill = float("nan")
        parsed = parsed.to_tensor(tf.constant(fill, parsed.dtype))
    return parsed if told["dtype"] == "text" else tf.cast(parsed, told["dtype"])
