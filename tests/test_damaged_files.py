"""A thousand damaged files: each loads as what it was or ends in an error that names it; none runs.

Of each kind of file a good one is damaged in every way that a disk, a network or an enemy has: cut
short, bits flipped, blocks swapped, zeroed or doubled, replaced by noise or another kind of file.
"""

import gzip
import itertools
import json
import pathlib
import shutil
import struct
import types
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import data, tasks
from keras_mtl._answers import read_rows
from keras_mtl._config_file import read_config
from keras_mtl.cli._app import load

EXPECTED = (ValueError, TypeError, OSError)

CONFIG = """\
data: {kind: csv, train: rows.csv, labels: {sold: sold, price: price}}
encoder: &shared
  kind: tabular
  units: [8]
tasks:
  - {name: sold, kind: binary, class_weight: balanced}
  - {name: price, kind: regression, units: EUR, tower: {units: [4]}}
training:
  epochs: 4
  learning_rate: 0.01
  loss_weights: {price: 0.5}
output: {model: out/model.keras}
"""
TABLE = "age,job,sold\n" + "".join(
    f"{20 + i},{'cook' if i % 3 else 'judge'},{i % 2}\n" for i in range(30)
)
CONLL = "".join(f"play{i}\tO\nin\tO\nrome\tB-city\n\n" for i in range(20))
JSONL = "".join(json.dumps({"age": i, "job": "cook"}) + "\n" for i in range(20))


def damaged(content: bytes, count: int, seed: int):
    """So many damaged copies, as different as they can be."""
    rng = np.random.default_rng(seed)
    size = len(content)
    for i in range(count):
        at = int(rng.integers(size))
        to = min(size, at + int(rng.integers(1, 64)))
        held = bytearray(content)
        way = i % 10
        if way == 0:
            held = held[:at]
        elif way == 1:
            held[at] ^= 1 << int(rng.integers(8))
        elif way == 2:
            for place in rng.integers(size, size=8):
                held[place] = int(rng.integers(256))
        elif way == 3:
            held[at:to] = bytes(to - at)
        elif way == 4:
            held = held[to:] + held[at:to] + held[:at]
        elif way == 5:
            held[at:at] = rng.bytes(int(rng.integers(1, 32)))
        elif way == 6:
            held[at:at] = held[at:to]
        elif way == 7:
            del held[at:to]
        elif way == 8:
            held[at:to] = b"\xff" * (to - at)
        else:
            held = bytearray(rng.bytes(int(rng.integers(0, 200))))
        yield bytes(held)


def assert_told(read, path, *, same=None):
    """What is read is right, or the error is a user's and names the file; returns 1 for an error."""
    try:
        found, told = read(path), None
    except EXPECTED as error:
        found, told = None, error
    if told is None:
        if same is not None:
            same(found)
        return 0
    assert str(path) in str(told), f"{type(told).__name__}: {told}"
    assert len(str(told)) < 5000
    return 1


# The good files.


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A folder with a good file of each kind."""
    folder = tmp_path_factory.mktemp("good")
    x = keras.Input((2,), name="x")
    kinds = [tasks.Binary("sold"), tasks.Regression("price")]
    model = keras_mtl.MultiTaskModel(x, {t.name: t.head(x) for t in kinds})
    model.compile("sgd")
    model.save(folder / "model.keras")
    rows = data.Examples({"x": np.arange(24).reshape(12, 2)}, {"sold": np.arange(12) % 2})
    data.write_tfrecords(rows, folder / "records", shards=2)
    for name, text in (
        ("run.yaml", CONFIG), ("rows.csv", TABLE), ("words.tsv", CONLL), ("rows.jsonl", JSONL),
    ):  # fmt: skip
        (folder / name).write_text(text)
    (folder / "rows.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    return folder


# A thousand damaged ones.


def test_model_files(good, tmp_path):
    content = (good / "model.keras").read_bytes()
    weights = load(good / "model.keras").get_weights()

    def same(model):
        for found, expected in zip(model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(found, expected)

    refused = 0
    for i, bad in enumerate(damaged(content, 250, 1)):
        path = tmp_path / f"{i}.keras"
        path.write_bytes(bad)
        refused += assert_told(load, path, same=same)
    assert refused > 150


def test_configurations_inside_of_model_files(good, tmp_path):
    """The archive is whole, and what it says is not."""
    with zipfile.ZipFile(good / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for i, bad in enumerate(damaged(parts["config.json"], 50, 2)):
        path = tmp_path / f"{i}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, held in parts.items():
                archive.writestr(name, bad if name == "config.json" else held)
        assert_told(load, path)


def test_yaml_files(tmp_path):
    known = read_config_text(CONFIG, tmp_path / "good.yaml")
    assert known.training.epochs == 4
    for i, bad in enumerate(damaged(CONFIG.encode(), 200, 3)):
        path = tmp_path / f"{i}.yaml"
        path.write_bytes(bad)
        assert_told(read_config, path)


def test_csv_files(good, tmp_path):
    for name, count in (("rows.csv", 150), ("rows.csv.gz", 50)):
        for i, bad in enumerate(damaged((good / name).read_bytes(), count, 4)):
            path = tmp_path / f"{i}{name}"
            path.write_bytes(bad)
            assert_told(lambda p: data.from_csv(p, labels={"sold": "sold"}), path)
    # A changed digit is content; a packed file has a checksum, so that nothing else comes of it.
    table = data.read_csv(good / "rows.csv.gz")
    assert table["age"].tolist() == [20.0 + i for i in range(30)]


def test_record_files_and_their_schema(good, tmp_path):
    def read(folder):
        batches = list(data.read_tfrecords(folder, 4))
        return np.concatenate([inputs["x"].numpy() for inputs, _ in batches])

    def same(found):
        np.testing.assert_array_equal(found, np.arange(24).reshape(12, 2))

    np.testing.assert_array_equal(read(good / "records"), np.arange(24).reshape(12, 2))
    refused = 0
    first = sorted((good / "records").glob("*.tfrecord"))[0].name
    for name, count in ((first, 120), ("schema.json", 60)):
        content = (good / "records" / name).read_bytes()
        for i, bad in enumerate(damaged(content, count, 5)):
            folder = tmp_path / f"{i}{name}"
            shutil.copytree(good / "records", folder)
            (folder / name).write_bytes(bad)
            # A schema may say less than there is and still be one.
            refused += assert_told(read, folder, same=same if name == first else None)
    assert refused > 120


def test_files_of_words_and_of_rows(good, tmp_path):
    wanted, words = (
        types.SimpleNamespace(inputs=[types.SimpleNamespace(name=n) for n in names])
        for names in (("age", "job"), ("tokens",))
    )
    for i, bad in enumerate(damaged(CONLL.encode(), 60, 6)):
        path = tmp_path / f"{i}.tsv"
        path.write_bytes(bad)
        assert_told(data.read_conll, path)
        text = path.rename(path.with_suffix(".txt"))
        assert_told(lambda p: read_rows(words, p), text)
    for i, bad in enumerate(damaged(JSONL.encode(), 60, 7)):
        path = tmp_path / f"{i}.jsonl"
        path.write_bytes(bad)
        assert_told(lambda p: read_rows(wanted, p), path)


# Enemies.


def read_config_text(text, path):
    path.write_text(text)
    return read_config(path)


def multiplied(form):
    """Lines of which each holds the one before nine times."""
    return "".join(
        f"{name}: &{name} {form.format(', '.join([f'*{before}'] * 9))}\n"
        for before, name in itertools.pairwise("abcdefghi")
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!python/object/apply:os.system ['touch {marker}']", "could not determine a constructor"),
        ("data: !!python/name:os.system", "could not determine a constructor"),
        ("training: !!python/object/new:subprocess.Popen [[touch, '{marker}']]", "constructor"),
        ("[" * 2_000, "nested too deeply"),
        ("{a: " * 2_000, "nested too deeply"),
        ("a: &a [x, x]\n" + multiplied("[{}]"), "aliases multiplied"),
        ("m: &a {x: 1}\n" + multiplied("{{<<: [{}]}}"), "aliases multiplied"),
        ("a: &a [*a]", "holds itself"),
        ("a: 2020-13-45", "month"),
        ("a: !!timestamp soon", "YAML"),
        ("a: !!int ''", "YAML"),
        ("a: !!bool perhaps", "YAML"),
        ("a: " + "9" * 9000, "4300|digits"),
        ("? [a, b]\n: c", "unhashable|keys|key"),
        ("1: 2", "key"),
        ("", "holds no settings"),
        ("just words", "holds no settings"),
    ],
)  # fmt: skip
def test_yaml_of_an_enemy(text, said, tmp_path):
    marker = tmp_path / "marker"
    path = tmp_path / "run.yaml"
    path.write_text(text.replace("{marker}", str(marker)))
    with pytest.raises(ValueError, match=f"(?is){path}.*({said})"):
        read_config(path)
    assert not marker.exists()


def rewritten(source, path, change):
    """A model file whose configuration `change` has changed."""
    with zipfile.ZipFile(source) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, held in parts.items():
            archive.writestr(name, held)
    return path


def test_a_model_file_runs_no_code(good, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "planted.py").write_text(
        f"def run(*a, **k):\n    {code}\n\nclass Run:\n    from_config = run\n"
    )
    exec(code)
    assert marker.exists()
    marker.unlink()
    x = keras.Input((2,))
    served = keras.layers.Lambda(lambda t: t + 1, output_shape=(2,))(x)
    keras_mtl.MultiTaskModel(x, {"t": served}).save(tmp_path / "lambda.keras")
    with pytest.raises(
        ValueError, match=r"lambda.keras cannot be loaded as a model: .*Lambda"
    ) as told:
        load(tmp_path / "lambda.keras")
    assert told.value.__cause__ is not None
    known = {
        "eval": ("builtins", "function", "eval"),
        "exec": ("builtins", "exec", {"source": code}),
        "system": ("os", "system", {"command": f"touch {marker}"}),
        "planted": ("planted", "Run", {}),
        "process": ("subprocess", "Popen", {"args": ["touch", str(marker)]}),
        "lambda": (None, "__lambda__", {"value": code}),
    }
    calls = [
        {"module": m, "class_name": c, "config": held, "registered_name": None}
        for m, c, held in known.values()
    ]
    for i, call in enumerate(calls):
        for j, place in enumerate(("layer", "compile", "whole")):

            def change(config, call=call, place=place):
                if place == "layer":
                    config["config"]["layers"][1] = {**call, "name": "x", "inbound_nodes": []}
                elif place == "compile":
                    config["compile_config"]["loss"] = call
                else:
                    config.update(call)

            path = rewritten(good / "model.keras", tmp_path / f"{i}_{j}.keras", change)
            assert_told(load, path)
            assert not marker.exists(), (call, place)


def test_a_flipped_weight_is_not_taken_for_the_one_that_was_saved(good, tmp_path):
    """One bit of a kernel, in an archive that is whole otherwise."""
    content = bytearray((good / "model.keras").read_bytes())
    kernel = load(good / "model.keras").get_weights()[0].tobytes()
    at = content.find(kernel)
    assert at > 0
    content[at + 2] ^= 0x40
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"no whole .keras file: its part 'model.weights.h5' is not"
    ):
        load(path)


def test_bombs_are_refused_before_they_go_off(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(65 * 2**20))
    with pytest.raises(
        ValueError, match=f"{path} is no whole .keras file: it unpacks to 68157442 bytes"
    ):
        load(path)
    packed = tmp_path / "bomb.csv.gz"
    packed.write_bytes(gzip.compress(b"a,b\n" + b"1," * 2**25, 1))
    with pytest.raises(
        ValueError, match=f"{packed} cannot be read as a CSV file: it unpacks to more"
    ):
        data.read_csv(packed)


def test_tables_of_an_enemy(tmp_path):
    path = tmp_path / "t.csv"
    for content, said in (
        (b"a,a\n1,2\n", "several columns named 'a'"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", "field larger than field limit"),
        (b"a,b\n1,\xff\n", "codec can't decode"),
        (b"a,b\n1\n", "has 1 fields, expected 2"),
        (b'a,b\n"1,2\n3,4', "has 1 fields, expected 2"),
        (b"a,b\n" + b"1,2\n" * 30 + b"1e999,3\n", "has '1e999' in the column 'a'"),
        (b"a,b\n" + b"1,2\n" * 30 + b"1e39,3\n", "has '1e39' in the column 'a'"),
        (b"a,b\n" + b"1,2\n" * 30 + b"\x001,3\n", "in the column 'a'|NUL"),
        (b"", "holds no row"),
        (b"a,b\n", "holds no row"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"{path}.*{said}"):
            data.read_csv(path)
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert list(data.read_csv(path)) == ["a", "b"]
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(ValueError, match=f"{path}: Column 'c' is not in the table"):
        data.from_csv(path, labels={"t": "c"})


def checksum(content: bytes) -> bytes:
    """The masked CRC-32C of TFRecord files, by its definition."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@pytest.mark.parametrize("length", [2**20, 2**44, 2**63, 2**64 - 1])
def test_a_record_that_says_it_is_huge_asks_for_no_memory(length, good, tmp_path):
    """TensorFlow by itself ends the whole process at 2^44."""
    folder = tmp_path / "records"
    shutil.copytree(good / "records", folder)
    path = sorted(folder.glob("*.tfrecord"))[0]
    head = struct.pack("<Q", length)
    path.write_bytes(path.read_bytes() + head + checksum(head) + b"abc")
    for verify in (True, False):
        with pytest.raises(
            ValueError, match=f"{path}: record 6 cannot be read .it ends after the file"
        ):
            data.read_tfrecords(folder, verify=verify)
    # The checksum is right: as the length of a record that is there, it is read.
    path.write_bytes(
        struct.pack("<Q", 3) + checksum(struct.pack("<Q", 3)) + b"abc" + checksum(b"abc")
    )
    assert data.check_tfrecords(path) == 1


def test_a_file_that_is_damaged_while_a_model_is_trained_is_named(good, tmp_path):
    folder = tmp_path / "records"
    shutil.copytree(good / "records", folder)
    batches = data.read_tfrecords(folder, 4)
    x = keras.Input((2,), name="x")
    model = keras_mtl.MultiTaskModel(x, {"sold": tasks.Binary("sold").head(x)})
    model.compile("sgd")
    model.fit(batches, epochs=1, verbose=0)
    path = sorted(folder.glob("*.tfrecord"))[1]
    for damage in ("flip", "cut"):
        content = bytearray((good / "records" / path.name).read_bytes())
        if damage == "flip":
            content[-10] ^= 1
        path.write_bytes(content if damage == "flip" else content[:-9])
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"{path}.*is damaged"):
            model.fit(batches, epochs=1, verbose=0)


def test_what_is_not_a_file_of_the_kind(good, tmp_path):
    with pytest.raises(ValueError, match="There is no model file"):
        load(tmp_path / "none.keras")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ValueError, match="There is no model file"):
        load(tmp_path / "folder.keras")
    shutil.copy(good / "model.keras", tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"model.h5 is not named as a model file"):
        load(tmp_path / "model.h5")
    for read in (read_config, data.read_csv, data.read_conll):
        with pytest.raises(OSError, match="none"):
            read(pathlib.Path(tmp_path / "none"))
        with pytest.raises(OSError, match="folder"):
            read(tmp_path / "folder.keras")
