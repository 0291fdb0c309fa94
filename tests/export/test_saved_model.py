"""A SavedModel, read back by programs that know neither keras_mtl nor Keras."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import keras_mtl
from keras_mtl import encoders, export, tasks
from keras_mtl.export import _signatures

GENRES = ["folk", "jazz", "rock"]
TAGS = ["O", "B-artist", "I-artist"]
MOODS = ["calm", "glad", "wild"]


def song_model() -> keras_mtl.MultiTaskModel:
    """Words in; a class, tags, a yes-or-no, a grade, numbers with a scale, several labels out."""
    keras.utils.set_random_seed(3)
    words = encoders.Text(["play", "some", "miles", "davis"], "cnn", units=6, embedding=4)
    model = keras_mtl.build_model(
        words,
        [
            tasks.MultiClass("genre", GENRES),
            tasks.SequenceTagging("slots", TAGS),
            tasks.Binary("live", ["studio", "live"]),
            tasks.Ordinal("stars", ["one", "two", "three"]),
            tasks.Regression("length", ["intro", "all"], units="s"),
            tasks.MultiLabel("mood", MOODS),
        ],
    )
    lengths = np.array([[3.0, 200.0], [5.0, 100.0]])
    model.adapt({"length": lengths})
    return model


def person_model() -> keras_mtl.MultiTaskModel:
    """A model of one's own: a table's raw columns, of which one task reads only the first."""
    keras.utils.set_random_seed(4)
    inputs = {
        "hours-per-week": keras.Input((2,), name="hours-per-week"),
        "class": keras.Input((1,), name="class", dtype="string"),
    }
    known = keras.layers.StringLookup(vocabulary=["private", "state"], output_mode="one_hot")
    both = keras.layers.Concatenate()([inputs["hours-per-week"], known(inputs["class"])])
    number = keras.layers.Dense(2, name="first")(both)
    return keras_mtl.MultiTaskModel(
        inputs,
        {
            "variables": number,
            "a.b": keras.layers.Dense(1, name="second")(inputs["hours-per-week"]),
            "nearest": keras.ops.argmax(number, axis=-1),
        },
    )


SONGS = np.array(
    [["play", "some", "miles", "davis", "now"], ["miles", "", "", "", ""], ["x", "y", "", "", ""]]
)
PEOPLE = {
    "hours-per-week": np.array([[1.0, 2.0], [3.0, 40.0]], "float32"),
    "class": np.array([["state"], ["unheard"]]),
}


class Exported:
    """A model's version folder, what goes in and what the model itself answers.

    Attributes:
        given: What each input of a signature gets, also "<signature> <input>" where that differs.
    """

    def __init__(self, model, folder, inputs, given=(), **options):
        self.model = model
        self.path = export.saved_model(model, folder, **options)
        self.inputs = inputs
        self.given = {**inputs, "examples": as_examples(inputs), **dict(given)}
        tensors = {k: tf.constant(v) for k, v in inputs.items()}
        self.expected = {k: np.array(v) for k, v in model.predict(tensors, verbose=0).items()}


def as_examples(inputs: dict[str, np.ndarray]) -> np.ndarray:
    """Rows as a client writes them, padding left out; apart from what the exporter does."""
    examples = []
    for row in range(len(next(iter(inputs.values())))):
        features = {}
        for name, values in inputs.items():
            value = values[row].reshape(-1)
            if value.dtype.kind == "U":
                kept = tf.train.BytesList(value=[v.encode() for v in value if v])
                features[name] = tf.train.Feature(bytes_list=kept)
            elif value.dtype.kind == "f":
                features[name] = tf.train.Feature(float_list=tf.train.FloatList(value=value))
            else:
                features[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=value))
        example = tf.train.Example(features=tf.train.Features(feature=features))
        examples.append(example.SerializeToString())
    return np.array(examples, object)


class Told:
    """What stands for a report."""

    def to_markdown(self) -> str:
        return "| task | metric |\n| --- | --- |\n| genre | 0.5 |\n"


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    # With all that may lie beside it, where what writes it is installed.
    there = importlib.util.find_spec("tensorflow_serving")
    options = {"warm_up": SONGS if there else None, "report": Told()}
    folder = tmp_path_factory.mktemp("songs")
    return Exported(song_model(), folder, {"tokens": SONGS}, **options)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    # "class" is one-hot behind its lookup: unknown, private, state.
    codes = {"serving_preprocessed class": np.array([[0, 0, 1], [1, 0, 0]], "float32")}
    folder = tmp_path_factory.mktemp("people")
    return Exported(person_model(), folder, PEOPLE, codes, preprocessed=True)


def run(script: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


TF1_LOADER = """
    import sys
    sys.modules["keras"] = sys.modules["keras_mtl"] = None
    import numpy as np
    import tensorflow as tf

    path, out = sys.argv[1:]
    given = dict(np.load(out + "/in.npz", allow_pickle=True))
    found = {}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
        for key, signature in graph.signature_def.items():
            if signature.method_name != "tensorflow/serving/predict":
                continue
            feed = {
                t.name: given.get(key + " " + name, given.get(name))
                for name, t in signature.inputs.items()
            }
            answers = session.run({n: t.name for n, t in signature.outputs.items()}, feed)
            for name, answer in answers.items():
                answer = np.asarray(answer)
                found[key + " " + name] = answer.astype(str) if answer.dtype == object else answer
    np.savez(out + "/out.npz", **found)
"""

TF2_LOADER = """
    import sys
    sys.modules["keras_mtl"] = None
    import numpy as np
    import tensorflow as tf

    path, out = sys.argv[1:]
    given = dict(np.load(out + "/in.npz", allow_pickle=True))
    found = {}
    for key, signature in tf.saved_model.load(path).signatures.items():
        needed = {
            n: tf.constant(given.get(key + " " + n, given.get(n)))
            for n in signature._arg_keywords
        }
        for name, answer in signature(**needed).items():
            answer = answer.numpy()
            found[key + " " + name] = answer.astype(str) if answer.dtype == object else answer
    np.savez(out + "/out.npz", **found)
"""


def answers_of(loader: str, exported: Exported, folder: pathlib.Path) -> dict[str, np.ndarray]:
    np.savez(folder / "in.npz", **exported.given)
    run(loader, exported.path, folder)
    return dict(np.load(folder / "out.npz"))


def assert_answers(found: dict[str, np.ndarray], exported: Exported, *more: str) -> None:
    """Every signature is there, with these outputs alone, and answers what the model does."""
    served = {k: v for k, v in found.items() if not k.startswith("serving_labels ")}
    names = list(exported.expected)
    keys = [f"{name} {name}" for name in names]
    for signature in ("serving_default", "serving_examples", *more):
        keys += [f"{signature} {name}" for name in names]
    assert sorted(served) == sorted(keys)
    for key, answer in served.items():
        expected = exported.expected[key.split(" ")[1]]
        assert answer.dtype == expected.dtype, key
        np.testing.assert_allclose(answer, expected, atol=1e-5, err_msg=key)


def test_the_tf1_loader_runs_it_without_keras(songs, tmp_path):
    assert_answers(answers_of(TF1_LOADER, songs, tmp_path), songs)


def test_tensorflow_runs_it_without_keras_mtl_and_labels_are_words(songs, tmp_path):
    found = answers_of(TF2_LOADER, songs, tmp_path)
    assert_answers(found, songs)
    labels = {k.split(" ")[1]: v for k, v in found.items() if k.startswith("serving_labels ")}
    assert set(labels) == {"genre", "slots", "live", "stars"}, "one class each; no numbers, no set"
    served = songs.expected
    assert labels["genre"].tolist() == [GENRES[i] for i in served["genre"].argmax(-1)]
    assert labels["slots"].tolist() == [[TAGS[i] for i in r] for r in served["slots"].argmax(-1)]
    assert labels["live"].tolist() == [
        ["studio", "live"][int(p > 0.5)] for p in served["live"][:, 0]
    ]
    # The median class of an ordinal task: the first whose cumulated probability reaches one half.
    median = [next(i for i in range(3) if row[: i + 1].sum() >= 0.5) for row in served["stars"]]
    assert labels["stars"].tolist() == [["one", "two", "three"][i] for i in median]


def test_names_that_are_no_python_names_are_kept(people, tmp_path):
    """Columns such as "hours-per-week" and "class", and tasks named like a model's attributes."""
    for loader in (TF1_LOADER, TF2_LOADER):
        assert_answers(answers_of(loader, people, tmp_path), people, "serving_preprocessed")


def test_each_signature_takes_what_its_task_needs_in_any_size(people, songs):
    signatures = signature_defs(people.path)
    taken = {key: set(signature.inputs) for key, signature in signatures.items()}
    assert taken == {
        "serving_default": {"hours-per-week", "class"},
        "serving_preprocessed": {"hours-per-week", "class"},
        "serving_examples": {"examples"},
        "variables": {"hours-per-week", "class"},
        "nearest": {"hours-per-week", "class"},
        "a.b": {"hours-per-week"},
    }
    default = signature_defs(songs.path)["serving_default"]
    size = [d.size for d in default.inputs["tokens"].tensor_shape.dim]
    assert size == [-1, -1], "batch and sequence length are free"
    assert [d.size for d in default.outputs["slots"].tensor_shape.dim] == [-1, -1, len(TAGS)]


def test_other_batches_and_lengths_are_answered(songs):
    served = tf.saved_model.load(str(songs.path)).signatures["serving_default"]
    for rows in (SONGS[:1, :2], SONGS[:2, :4], np.tile(SONGS, (4, 3))):
        expected = songs.model.predict(tf.constant(rows), verbose=0)
        for name, answer in served(tokens=tf.constant(rows)).items():
            np.testing.assert_allclose(answer, expected[name], atol=1e-5)


def test_the_columns_of_a_table_are_looked_up_where_it_is_served(tmp_path):
    table = {
        "age": np.array([20.0, np.nan]),
        "job": np.array(["cook", "?"]),
        "town": np.array([3, 9]),
    }
    encoder = keras_mtl.encoders.Tabular(
        {
            "age": {"kind": "numeric", "mean": 30.0, "variance": 4.0},
            "job": {"kind": "categorical", "vocabulary": ["cook", "judge"]},
            "town": {"kind": "categorical", "vocabulary": [3, 5]},
        },
        units=[4],
    )
    model = keras_mtl.build_model(encoder, [tasks.Binary("buys")])
    path = export.saved_model(model, tmp_path / "m")
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    answers = served(
        age=tf.constant(table["age"], "float32"),
        job=tf.constant(table["job"]),
        town=tf.constant(table["town"], "int64"),
    )
    np.testing.assert_allclose(answers["buys"], model.predict(table, verbose=0)["buys"], atol=1e-6)


@pytest.mark.parametrize("signature", ["serving_default", "serving_labels"])
def test_saved_model_cli_runs_it(songs, tmp_path, signature):
    words = "tokens=" + json.dumps(SONGS.tolist()).replace('"', "'")
    run(
        """
        import sys
        sys.modules["keras_mtl"] = None
        from tensorflow.python.tools import saved_model_cli
        sys.exit(saved_model_cli.main())
        """,
        *["run", "--dir", songs.path, "--tag_set", "serve", "--signature_def", signature],
        *["--input_exprs", words, "--outdir", tmp_path],
    )
    genre = np.load(tmp_path / "genre.npy", allow_pickle=True)
    if signature == "serving_default":
        np.testing.assert_allclose(genre, songs.expected["genre"], atol=1e-5)
        np.testing.assert_allclose(
            np.load(tmp_path / "slots.npy"), songs.expected["slots"], atol=1e-5
        )
    else:
        expected = [GENRES[i].encode() for i in songs.expected["genre"].argmax(-1)]
        assert genre.tolist() == expected


def test_the_asset_tells_what_the_numbers_mean(songs, people):
    assert json.loads((songs.path / "assets" / "labels.json").read_text()) == {
        "genre": {"kind": "MultiClass", "classes": GENRES},
        "slots": {"kind": "SequenceTagging", "classes": TAGS},
        "live": {"kind": "Binary", "classes": ["studio", "live"]},
        "stars": {"kind": "Ordinal", "classes": ["one", "two", "three"]},
        "length": {"kind": "Regression", "dimensions": ["intro", "all"], "units": "s"},
        "mood": {"kind": "MultiLabel", "classes": MOODS},
    }
    assert json.loads((people.path / "assets" / "labels.json").read_text()) == {
        name: {"kind": "other"} for name in ("variables", "a.b", "nearest")
    }
    assert [asset.filename for asset in meta_graph(songs.path).asset_file_def] == ["labels.json"]


def test_what_is_trained_is_what_is_served_and_the_optimizer_stays_at_home(tmp_path):
    inputs = keras.Input((3,), name="x")
    model = keras_mtl.MultiTaskModel(inputs, {"t": keras.layers.Dense(1)(inputs)})
    model.compile("adam", loss={"t": "mse"})
    x = np.ones((8, 3), "float32")
    for expected in (1, 2):
        model.fit(x, {"t": np.ones((8, 1), "float32")}, epochs=2, verbose=0)
        path = export.saved_model(model, tmp_path / "m")
        assert path == tmp_path / "m" / str(expected)
        served = tf.saved_model.load(str(path)).signatures["t"](x=tf.constant(x))["t"]
        np.testing.assert_allclose(served, model.predict(x, verbose=0)["t"], atol=1e-6)
    saved = tf.train.list_variables(str(path / "variables" / "variables"))
    assert not any("optimizer" in name or shape == [3, 2] for name, shape in saved)
    assert export.versions(tmp_path / "m") == [1, 2]


def test_inputs_in_a_list_and_one_renamed_by_its_key(tmp_path):
    two = [keras.Input((1,), name="z"), keras.Input((2,), name="a")]
    listed = keras_mtl.MultiTaskModel(two, {"t": keras.layers.Dense(1)(two[1] * two[0])})
    path = export.saved_model(listed, tmp_path / "listed")
    z, a = np.array([[2.0], [3.0]], "float32"), np.array([[1.0, 2.0], [3.0, 5.0]], "float32")
    served = tf.saved_model.load(str(path)).signatures["serving_default"](z=z, a=a)
    np.testing.assert_allclose(served["t"], listed.predict([z, a], verbose=0)["t"], atol=1e-6)

    keyed = {"key": keras.Input((2,), name="layer")}
    output = keras.layers.Dense(1)(keyed["key"])
    with pytest.warns(UserWarning, match="must match the names"):
        model = keras_mtl.MultiTaskModel(keyed, {"t": output})
    path = export.saved_model(model, tmp_path / "keyed")
    taken = {key: set(s.inputs) for key, s in signature_defs(path).items()}
    examples = taken.pop("serving_examples")
    assert taken == {"serving_default": {"key"}, "t": {"key"}}, "what the data call it"
    assert examples == {"examples"}


def test_the_model_is_traced_once_for_the_signatures_made_of_it(tmp_path, monkeypatch):
    inputs = keras.Input((3,), name="x")
    heads = {name: keras.layers.Dense(1)(inputs) for name in ("a", "b")}
    model, answered = keras_mtl.MultiTaskModel(inputs, heads), []

    def counted(given, tasks):
        answered.append(tasks)
        return in_full_precision(given, tasks)

    in_full_precision = _signatures._in_full_precision
    monkeypatch.setattr(_signatures, "_in_full_precision", counted)
    path = export.saved_model(model, tmp_path)
    assert {"serving_default", "serving_examples", "a", "b"} == set(signature_defs(path))
    assert sorted(answered) == [["a"], ["a", "b"], ["b"]], "traced more often than there are models"


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_served_as_float32(tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((3,), name="x")
        model = keras_mtl.MultiTaskModel(inputs, {"t": keras.layers.Dense(2)(inputs)})
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output["t"].dtype == policy.removeprefix("mixed_")
    path = export.saved_model(model, tmp_path)
    served = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.ones((1, 3)))["t"]
    assert served.dtype == tf.float32
    np.testing.assert_array_equal(served, model.predict(np.ones((1, 3)), verbose=0)["t"])


@pytest.mark.parametrize(
    "error", [RuntimeError("half way"), tf.errors.ResourceExhaustedError(None, None, "disk full")]
)
def test_an_export_that_fails_leaves_no_version(tmp_path, monkeypatch, error):
    archive = type(keras.export.ExportArchive())
    write_out = archive.write_out

    def half(*args, **kwargs):
        write_out(*args, **kwargs)
        raise error

    model = one_layer()
    export.saved_model(model, tmp_path)
    monkeypatch.setattr(archive, "write_out", half)
    if isinstance(error, tf.errors.OpError):
        with pytest.raises(OSError, match=r"cannot be exported to .*: disk full; make room"):
            export.saved_model(model, tmp_path)
    else:
        with pytest.raises(RuntimeError, match="half way"):
            export.saved_model(model, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


KILLED_AT_THE_WEIGHTS = """
    # Where Keras writes: TensorFlow's own `save` is not always the one that Keras calls.
    archive = type(keras.export.ExportArchive())
    write_out = archive.write_out
    def killed(*args, **kwargs):
        write_out(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
    archive.write_out = killed
    options = {}
"""

KILLED_AT_THE_CARD = """
    class Report:
        def to_markdown(self):
            os.kill(os.getpid(), signal.SIGKILL)
    there = importlib.util.find_spec("tensorflow_serving")
    options = {"report": Report(), "warm_up": True if there else None}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("killed", [KILLED_AT_THE_WEIGHTS, KILLED_AT_THE_CARD])
def test_an_export_that_is_killed_leaves_no_version_and_the_next_cleans_up(tmp_path, killed):
    begin = """
        import importlib.util, os, signal, sys
        import keras, keras_mtl
    """
    end = """
        x = keras.Input((2,), name="x")
        model = keras_mtl.MultiTaskModel(x, {"t": keras.layers.Dense(1)(x)})
        keras_mtl.export.saved_model(model, sys.argv[1], **options)
    """
    script = "".join(map(textwrap.dedent, (begin, killed, end)))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        timeout=300,
        check=False,
        cwd=pathlib.Path(keras_mtl.__file__).parents[1],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    left = [p.name for p in tmp_path.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(".exporting-"), "a server looks at numbers alone"
    assert (tmp_path / left[0] / "model" / "saved_model.pb").exists()
    assert not (tmp_path / left[0] / "model" / "MODEL_CARD.md").exists()
    if killed == KILLED_AT_THE_CARD and importlib.util.find_spec("tensorflow_serving"):
        assert list((tmp_path / left[0] / "model" / "assets.extra").iterdir())
    assert export.saved_model(one_layer(), tmp_path).name == "1"
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"takes a keras_mtl.MultiTaskModel, but came a Sequential"):
        export.saved_model(keras.Sequential([keras.Input((1,))]), tmp_path / "m")
    with pytest.raises(TypeError, match="but came a str"):
        export.saved_model("model.keras", tmp_path / "m")
    with pytest.raises(ValueError, match=r"`keep` is 0; expected at least 1"):
        export.saved_model(one_layer(), tmp_path / "m", keep=0)
    for taken in ("serving_default", "serving_labels", "signatures"):
        with pytest.raises(ValueError, match=f"'{taken}' is taken in every SavedModel"):
            one_layer(taken)
    for taken in ("serving_examples", "serving_images", "serving_preprocessed"):
        with pytest.raises(ValueError, match=f"'{taken}' is"):
            export.saved_model(one_layer(taken), tmp_path / "m")
    assert not os.path.exists(tmp_path / "m")


def one_layer(task: str = "t") -> keras_mtl.MultiTaskModel:
    x = keras.Input((2,), name="x")
    return keras_mtl.MultiTaskModel(x, {task: keras.layers.Dense(1)(x)})


def meta_graph(path: pathlib.Path) -> Any:
    (graph,) = saved_model_pb2.SavedModel.FromString(
        (path / "saved_model.pb").read_bytes()
    ).meta_graphs
    assert graph.meta_info_def.tags == ["serve"]
    return graph


def signature_defs(path: pathlib.Path) -> dict[str, Any]:
    """The signatures that a server offers."""
    return {
        key: signature
        for key, signature in meta_graph(path).signature_def.items()
        if signature.method_name == "tensorflow/serving/predict"
    }
