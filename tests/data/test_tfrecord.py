"""TFRecord files: a round trip, read by TensorFlow alone, and damage told by record."""

import json

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.data import Examples, read_tfrecords, write_tfrecords
from keras_mtl.data import tfrecord as module


@pytest.fixture
def rows(rng):
    return Examples(
        {
            "x": rng.normal(size=(20, 3)),
            "n": rng.integers(0, 9, 20),
            "tokens": [["w"] * k for k in rng.integers(1, 6, 20)],
        },
        {"y": rng.integers(-1, 3, 20), "tags": [[0] * k for k in rng.integers(1, 6, 20)],
         "r": np.where(rng.random(20) < 0.3, np.nan, 1.0)},
        {"y": rng.random(20)},
    )  # fmt: skip


@pytest.mark.parametrize("shards", [1, 3])
def test_round_trip(rows, tmp_path, shards):
    assert len(write_tfrecords(rows, tmp_path / "t", shards=shards)) == shards
    read = read_tfrecords(tmp_path / "t", 7)
    assert int(read.cardinality()) == 3
    for a, b in zip(rows.dataset(7), read, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, a, b)


def test_tensorflow_alone_reads_the_records(rows, tmp_path):
    (path,) = write_tfrecords(rows, tmp_path / "t")
    first = tf.train.Example.FromString(next(iter(tf.data.TFRecordDataset(str(path)))).numpy())
    feature = first.features.feature
    np.testing.assert_allclose(feature["inputs/x"].float_list.value, rows.inputs["x"][0])
    assert feature["labels/y"].int64_list.value[0] == rows.labels["y"][0]


def test_shuffled_reading_repeats_under_a_seed(rows, tmp_path):
    write_tfrecords(rows, tmp_path / "t")
    orders = [
        [[float(v) for x, *_ in data for v in x["x"][:, 0]] for _ in range(2)]
        for data in (
            read_tfrecords(tmp_path / "t", 4, shuffle=20, seed=1, cache=True) for _ in range(2)
        )
    ]
    assert orders[0] == orders[1] and orders[0][0] != orders[0][1]


def test_damage_is_told_by_file_and_record(rows, tmp_path):
    (path,) = write_tfrecords(rows, tmp_path / "t")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(whole))
    with pytest.raises(
        ValueError, match=r"part-00000-of-00001.tfrecord: record \d+ cannot be read"
    ):
        read_tfrecords(tmp_path / "t")


def test_missing_shards_and_schemas_are_told(rows, tmp_path):
    paths = write_tfrecords(rows, tmp_path / "t", shards=2)
    paths[0].unlink()
    with pytest.raises(ValueError, match="holds 10 records, but its schema tells of 20"):
        read_tfrecords(tmp_path / "t")
    schema = tmp_path / "t" / "schema.json"
    told = json.loads(schema.read_text())
    told["features"]["inputs/x"]["shape"] = [4]
    schema.write_text(json.dumps(told))
    with pytest.raises(ValueError, match="record 0 cannot be read"):
        read_tfrecords(tmp_path / "t")
    schema.write_text("{")
    with pytest.raises(ValueError, match="is damaged"):
        read_tfrecords(tmp_path / "t")
    with pytest.raises(ValueError, match=r"has no schema.json"):
        read_tfrecords(tmp_path)


def test_a_write_that_fails_leaves_nothing(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_describe", lambda values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_tfrecords(rows, tmp_path / "t")
    assert list(tmp_path.iterdir()) == []
