"""A model behind its preprocessing, which a client does in plain Python by what the version tells."""

import importlib.util
import json
import subprocess
import sys
import textwrap
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, export, tasks
from keras_mtl.encoders._application import Application
from keras_mtl.export._calls import Served
from keras_mtl.export._preprocessed import Preprocessing
from keras_mtl.export._warm_up import read_warm_up

WORDS = np.array([["play", "jazzé", ""], ["unheard", "[UNK]", "play"], ["", "", ""]])
TABLE = {
    "hours-per-week": np.array([40.0, np.nan, -3.5], "float32"),
    "class": np.array(["state", "", "unheard"]),
    "town": np.array([5, 9, -1]),
    "flat": np.array([1.0, 2.0, np.nan], "float32"),
}
PHOTO = np.arange(48, dtype="float32").reshape(3, 4, 4, 1) * 5


# What a client does. Of TensorFlow there is nothing here.


def ids(words, told, other=1):
    """Places in a vocabulary, row by row."""
    place = {word: i for i, word in enumerate(told["vocabulary"])}
    return [[place.get(str(word), other) for word in row] for row in words]


def characters(words, told):
    rows = [ids([list(word)[: told["length"]] for word in row], told) for row in words]
    return [[word + [0] * (told["length"] - len(word)) for word in row] for row in rows]


def from_texts(texts, told):
    """By `text_vectorization`: in small letters, without punctuation, split at blanks."""
    way = told["text_vectorization"]
    assert way["standardize"] == "lower_and_strip_punctuation" and way["split"] == "whitespace"
    assert way["ngrams"] is None and way["output_sequence_length"] is None
    rows = [[w.strip(",!") for w in text.lower().split()] for text in texts]
    longest = max(map(len, rows))
    return ids([row + [""] * (longest - len(row)) for row in rows], told)


def column(values, told):
    if "vocabulary" in told:
        place = {value: i + 1 for i, value in enumerate(told["vocabulary"])}
        return np.array([place.get(value.item(), 0) for value in values], "int64")
    scaled = [(float(value) - told["mean"]) / told["deviation"] for value in values]
    return np.array(scaled, "float32")


# Models.


def spelling(vocabulary, name="text_encoder"):
    return encoders.Text(vocabulary, "cnn", units=4, embedding=3, characters=3, name=name)


def version(model, rows, folder, **options):
    """An exported model with what its version tells a client, and its own answers to raw rows."""
    path = export.saved_model(model, folder, preprocessed=True, **options)
    told = json.loads((path / "assets.extra" / "preprocessing.json").read_text(encoding="utf-8"))
    tensors = {name: tf.constant(values) for name, values in rows.items()}
    return types.SimpleNamespace(
        path=path,
        told=told,
        expected=model.predict(tensors, verbose=0),
        served=tf.saved_model.load(str(path)).signatures["serving_preprocessed"],
    )


@pytest.fixture(scope="module")
def grouped(tmp_path_factory):
    """Two encoders of words and their characters, one a group of tasks."""
    keras.utils.set_random_seed(1)
    kinds = [tasks.Regression("number"), tasks.SequenceTagging("tags", ["O", "B-x"])]
    model = keras_mtl.build_model(spelling(["play", "jazz"]), kinds, groups=[["number"], ["tags"]])
    there = importlib.util.find_spec("tensorflow_serving")
    options = {"warm_up": {"tokens": WORDS}} if there else {}
    made = version(model, {"tokens": WORDS}, tmp_path_factory.mktemp("grouped"), **options)
    made.prepared = {
        "tokens": np.array(ids(WORDS, made.told["tokens"]), "int32"),
        "characters": np.array(characters(WORDS, made.told["characters"]), "int32"),
    }
    return made


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Encoders of every kind, two of which name their tensors alike, and an input as it is."""
    keras.utils.set_random_seed(5)
    rows = {
        "question": WORDS,
        "answer": np.array([["jazz"], ["play"], ["jazz"]]),
        "text": np.array(["Play, JAZZ!", "unheard jazz play play", ""]),
        **TABLE,
        "photo": PHOTO,
        "pair": np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 1.0]], "float32"),
    }
    vectorization = keras.layers.TextVectorization()
    vectorization.adapt(["play jazz", "play"])
    texts = encoders.Text(vectorization, "cnn", units=4, embedding=3, name="texts")
    columns = {
        "hours-per-week": encoders.Numeric(38.5, 17.3),
        "class": encoders.Categorical(["private", "state"]),
        "town": encoders.Categorical([3, 5]),
        "flat": encoders.Numeric(1.0, 0.0),
    }
    table = encoders.Tabular(columns, units=[4], embedding=3)
    pixels = keras.Input((2, 2, 3))
    network = keras.Model(pixels, keras.layers.Conv2D(3, 1)(pixels))
    network = Application("MobileNetV2", network, size=(2, 2), channels=1)
    photos = encoders.Pretrained(network, input_name="photo")
    words = {
        "question": spelling(["play", "jazz"], "first"),
        "answer": spelling(["play"], "second"),
    }
    pair = keras.Input((2,), name="pair")
    inputs = {name: keras.Input((None,), name=name, dtype="string") for name in words}
    inputs |= {**texts.make_inputs(), **table.make_inputs(), **photos.make_inputs(), "pair": pair}
    parts = [
        words["question"].features_of({"tokens": inputs["question"]}),
        words["answer"](inputs=inputs["answer"])[0],
        texts.features_of(inputs),
    ]
    pooled = [keras.layers.GlobalAveragePooling1D()(part) for part in parts]
    pooled += [table({name: inputs[name] for name in columns}), inputs["pair"]]
    pooled.append(keras.layers.Flatten()(photos.features_of(inputs)))
    output = keras.layers.Dense(2)(keras.layers.Concatenate()(pooled))
    made = version(
        keras_mtl.MultiTaskModel(inputs, {"t": output}), rows, tmp_path_factory.mktemp("mixed")
    )
    # Half the size: each pixel is the mean of four; in [-1, 1], as MobileNetV2 wants them.
    assert made.told["photo"]["scale"].startswith("keras.applications.mobilenet_v2.")
    halved = rows["photo"].reshape(3, 2, 2, 2, 2).mean((2, 4))[..., None] / 127.5 - 1
    made.prepared = {
        "photo": np.repeat(halved, 3, axis=-1).astype("float32"),
        "pair": rows["pair"],
        "text": np.array(from_texts(rows["text"], made.told["text"]), "int32"),
        **{name: column(TABLE[name], made.told[name]) for name in TABLE},
    }
    for name in words:
        letters = f"{name}_characters"
        found = {name: ids(rows[name], made.told[name])}
        found[letters] = characters(rows[name], made.told[letters])
        made.prepared.update({key: np.array(value, "int32") for key, value in found.items()})
    return made


# What is served.


def test_it_answers_what_the_model_does(grouped, mixed):
    for made in (grouped, mixed):
        assert set(made.served._arg_keywords) == set(made.prepared)
        found = made.served(**{name: tf.constant(v) for name, v in made.prepared.items()})
        assert set(found) == set(made.expected)
        for name, answer in made.expected.items():
            np.testing.assert_allclose(found[name], answer, atol=1e-6)
        # And not whatever it is given.
        turned = made.served(**{name: tf.constant(v[::-1]) for name, v in made.prepared.items()})
        for name, answer in made.expected.items():
            assert not np.allclose(answer, answer[::-1], atol=1e-4)
            np.testing.assert_allclose(turned[name], answer[::-1], atol=1e-6)


TF1_LOADER = """
    import sys
    sys.modules["keras"] = sys.modules["keras_mtl"] = None
    import numpy as np
    import tensorflow as tf

    for path in sys.argv[1:]:
        given = dict(np.load(path + "/in.npz"))
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], path)
            signature = graph.signature_def["serving_preprocessed"]
            feed = {tensor.name: given[name] for name, tensor in signature.inputs.items()}
            outputs = {name: tensor.name for name, tensor in signature.outputs.items()}
            np.savez(path + "/out.npz", **session.run(outputs, feed))
"""


def test_the_tf1_loader_runs_it_without_keras(grouped, mixed):
    versions = (grouped, mixed)
    for made in versions:
        np.savez(made.path / "in.npz", **made.prepared)
    command = [sys.executable, "-c", textwrap.dedent(TF1_LOADER), *(str(v.path) for v in versions)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for made in versions:
        found = np.load(made.path / "out.npz")
        for name, answer in made.expected.items():
            np.testing.assert_allclose(found[name], answer, atol=1e-6)


def test_the_version_tells_vocabularies_and_statistics(grouped, mixed):
    tokens, letters = grouped.told["tokens"], grouped.told["characters"]
    assert tokens["vocabulary"] == ["", "[UNK]", "play", "jazz"] and tokens["ids_below"] == 4
    assert letters["vocabulary"] == ["", "[UNK]", *"ajlpyz"] and letters["length"] == 20
    assert tokens["from"] == letters["from"] == ["tokens"]
    assert mixed.told["question_characters"]["from"] == ["question"]
    town, flat = mixed.told["town"], mixed.told["flat"]
    assert (town["vocabulary"], town["ids_below"], town["from"]) == ([3, 5], 3, ["town"])
    assert (flat["mean"], flat["deviation"]) == (1.0, 1.0), "one value is not divided by 0"
    assert "pair" not in mixed.told, "it stays as it is"
    card = (grouped.path / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "## Preprocessing" in card and "`assets.extra/preprocessing.json`" in card
    assert f"| characters | tokens | {letters['what']} |" in card


@pytest.mark.parametrize(
    ("name", "last"), [("question", 3), ("answer_characters", 5), ("text", 3), ("town", 2)]
)
def test_ids_that_there_are_not_are_refused(mixed, name, last):
    for wrong in (-1, last + 1):
        given = {key: np.array(values) for key, values in mixed.prepared.items()}
        given[name].flat[0] = wrong
        message = f"Input `{name}` holds an id that is not from 0 to {last}:"
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            mixed.served(**{key: tf.constant(values) for key, values in given.items()})


def test_requests_for_it_are_what_preprocessing_makes(grouped):
    pytest.importorskip("tensorflow_serving")
    warm = read_warm_up(grouped.path)["serving_preprocessed"]
    for name, values in grouped.prepared.items():
        np.testing.assert_array_equal(warm[name], values)
        assert warm[name].dtype == values.dtype


def test_calls_do_not_take_raw_numbers_for_prepared_ones(mixed):
    pytest.importorskip("tensorflow_serving")
    raw = {"question": [["play"]], "answer": [["jazz"]], "text": ["play"], "photo": PHOTO[:1]}
    raw |= {"pair": [[1.0, 2.0]], **{name: values[:1] for name, values in TABLE.items()}}
    asked = Served.read("people", mixed.path, raw).requests
    assert asked["serving_default"]["hours-per-week"].tolist() == [40.0]
    prepared = asked["serving_preprocessed"]
    assert prepared.keys() == mixed.prepared.keys()
    assert not any(values.any() for values in prepared.values())
    mixed.served(**{name: tf.constant(values) for name, values in prepared.items()})


# Where it begins.


def test_a_chain_of_preprocessing_is_left_out_and_other_inputs_stay_raw(tmp_path):
    inputs = {
        "text": keras.Input((), name="text", dtype="string"),
        "age": keras.Input((1,), name="age"),
        "pair": keras.Input((2,), name="pair"),
    }
    words = keras.layers.TextVectorization(
        vocabulary=["play", "jazz"], output_mode="int", output_sequence_length=3
    )
    scaled = keras.layers.Normalization(mean=30.0, variance=4.0)(inputs["age"])
    scaled = keras.layers.Rescaling(10.0)(scaled)
    embedded = keras.layers.Embedding(4, 2)(words(inputs["text"]))
    joined = keras.layers.Concatenate()(
        [keras.layers.Flatten(name="flatten")(embedded), scaled, inputs["pair"]]
    )
    model = keras_mtl.MultiTaskModel(
        inputs, {"t": keras.layers.Dense(1)(joined), "scaled_twice": scaled * 2.0}
    )
    path = export.saved_model(model, tmp_path, preprocessed=True)
    served = tf.saved_model.load(str(path)).signatures["serving_preprocessed"]
    raw = {
        "text": np.array(["Play JAZZ!", "jazz unheard play play"]),
        "age": np.array([[30.0], [34.0]], "float32"),
        "pair": np.array([[1.0, 2.0], [3.0, 4.0]], "float32"),
    }
    # By hand: padding 0, unknown 1, then the words; (34 - 30) / 2 * 10.
    found = served(
        text=tf.constant([[2, 3, 0], [3, 1, 2]], tf.int64),
        age=tf.constant([[0.0], [20.0]]),
        pair=tf.constant(raw["pair"]),
    )
    expected = model.predict({k: tf.constant(v) for k, v in raw.items()}, verbose=0)
    np.testing.assert_allclose(found["t"], expected["t"], atol=1e-6)
    np.testing.assert_allclose(found["scaled_twice"], [[0.0], [40.0]], atol=1e-5)
    assert model.get_layer("flatten").output.shape == (None, 6), (
        "the model's own graph is as it was"
    )
    told = json.loads((path / "assets.extra" / "preprocessing.json").read_text())
    assert set(told) == {"text", "age"}
    assert told["age"]["what"].startswith("through Normalization and Rescaling of Keras")
    assert (told["age"]["layers"][0]["mean"], told["age"]["layers"][0]["variance"]) == (
        [[30.0]],
        [[4.0]],
    )
    assert told["text"]["layers"][0]["vocabulary"] == ["", "[UNK]", "play", "jazz"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not from 0 to 3"):
        served(text=tf.constant([[4, 0, 0]], tf.int64), age=tf.ones((1, 1)), pair=tf.ones((1, 2)))


def test_words_that_two_encoders_read_differently_stay_words():
    words = keras.Input((None,), name="tokens", dtype="string")
    age = keras.Input((1,), name="age")
    found = [
        encoders.Text(known, "cnn", units=2, embedding=2, name=known[0])(words)[0]
        for known in (["a"], ["b"])
    ]
    pooled = [keras.layers.GlobalAveragePooling1D()(part) for part in found]
    joined = keras.layers.Concatenate()([*pooled, keras.layers.Rescaling(2.0)(age)])
    model = keras_mtl.MultiTaskModel([words, age], {"t": keras.layers.Dense(1)(joined)})
    rows = {"tokens": tf.constant([["a", "b"]]), "age": tf.constant([[1.0]])}
    behind = Preprocessing(model, {"tokens": "tokens", "age": "age"})
    assert list(behind.described) == ["age"]
    answers = behind.answers({**rows, "age": tf.constant([[2.0]])})
    np.testing.assert_allclose(answers["t"], model.predict(rows, verbose=0)["t"], atol=1e-6)
    prepared = behind.prepare({name: value.numpy() for name, value in rows.items()})
    assert prepared["tokens"].tolist() == [[b"a", b"b"]] and prepared["age"] == 2.0


def test_what_cannot_be_left_out_is_refused(tmp_path):
    numbers = keras_mtl.build_model(encoders.Dense(2, units=[2]), [tasks.Binary("t")])
    # A layer, or an encoder, that a second one bypasses cannot be left out either.
    x = keras.Input((), name="x")
    scaled = keras.layers.Rescaling(2.0)(x)
    bypassed = keras_mtl.MultiTaskModel(x, {"t": scaled + x})
    table = encoders.Tabular({"x": encoders.Numeric()}, units=[1])
    read = table({"x": x}) + keras.layers.Reshape((1,))(x)
    for model in (numbers, bypassed, keras_mtl.MultiTaskModel(x, {"t": read})):
        with pytest.raises(ValueError, match="nothing to leave out: its inputs"):
            export.saved_model(model, tmp_path / "m", preprocessed=True)
    assert not (tmp_path / "m").exists()


def test_two_inputs_of_one_name_are_refused(tmp_path):
    inputs = {
        "tokens": keras.Input((None,), name="tokens", dtype="string"),
        "characters": keras.Input((1,), name="characters"),
        "tokens_characters": keras.Input((1,), name="tokens_characters"),
    }
    pooled = keras.layers.GlobalAveragePooling1D()(spelling(["a"])(inputs["tokens"])[0])
    numbers = [inputs["characters"], inputs["tokens_characters"]]
    joined = keras.layers.Concatenate()([pooled, *numbers])
    model = keras_mtl.MultiTaskModel(inputs, {"t": keras.layers.Dense(1)(joined)})
    with pytest.raises(ValueError, match="the name 'tokens_characters'; give"):
        export.saved_model(model, tmp_path / "m", preprocessed=True)
