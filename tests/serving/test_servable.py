"""A version that is loaded: what it says it takes, what it answers, what it refuses."""

import concurrent.futures
import json

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._servable import Servable, Signature, Spec
from tests.serving import saved_models
from tests.serving.saved_models import GENRES, SONGS, TAGS


@pytest.fixture(scope="module")
def servable(songs):
    return Servable(songs[1] / "1")


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbered")
    return Servable(saved_models.write_version(folder, 12, saved_models.Numbered(5)))


def refusal(servable, signature, arrays):
    with pytest.raises(ServingError) as caught:
        servable.run(signature, arrays)
    return caught.value.code, caught.value.message


def test_every_signature_answers_what_the_model_predicts(servable, songs):
    expected = songs[2]
    answers = servable.run("serving_default", {"tokens": SONGS})
    assert set(answers) == {"genre", "slots"}
    for name, answer in answers.items():
        np.testing.assert_allclose(answer, expected[name], atol=1e-5)
        (alone,) = servable.run(name, {"tokens": SONGS}).values()
        np.testing.assert_allclose(alone, expected[name], atol=1e-5)
    words = servable.run("serving_labels", {"tokens": SONGS})
    assert words["genre"].tolist() == [GENRES[i].encode() for i in expected["genre"].argmax(-1)]


def test_names_types_and_shapes_are_those_of_the_model(servable):
    assert servable.version == 1
    assert {"serving_default", "genre", "slots", "serving_labels"} <= set(servable.signatures)
    signature = servable.signatures["serving_default"]
    assert signature == Signature(
        "serving_default",
        {"tokens": Spec("string", (None, None))},
        {"genre": Spec("float32", (None, 3)), "slots": Spec("float32", (None, None, 3))},
        independent_rows=True,
    )
    assert servable.signature() is servable.signature("") is signature, "the default one"
    assert servable.labels["slots"] == {"kind": "SequenceTagging", "classes": TAGS}


def test_any_saved_model_is_run_and_the_folder_gives_the_version(numbered):
    assert numbered.version == 12
    assert numbered.labels == {}, "there is no label file"
    x = np.array([[1.0, 2.0]], "float32")
    np.testing.assert_array_equal(numbered.run("serving_default", {"x": x})["y"], x + 5)
    answers = numbered.run("plain", {"n": np.int32(4)})
    assert answers["twice"] == 8
    assert answers["text"].tolist() == ["é".encode()]


@pytest.mark.parametrize(
    "tokens",
    [
        SONGS,
        SONGS.astype("S"),
        SONGS.astype(object),
        np.char.encode(SONGS).astype(object),
        SONGS.tolist(),
    ],
)
def test_strings_come_in_every_form_of_numpy(servable, songs, tokens):
    answers = servable.run("genre", {"tokens": tokens})
    np.testing.assert_allclose(answers["genre"], songs[2]["genre"], atol=1e-5)


def test_what_a_signature_does_not_take_is_refused_with_what_it_takes(servable, numbered):
    x = np.zeros((1, 2), "float32")
    for arrays in ({}, {"y": x}, {"x": x, "z": x}):
        code, message = refusal(numbered, "serving_default", arrays)
        assert code == "INVALID_ARGUMENT" and f"['x'], but came {sorted(arrays)}" in message
    for wrong in (x.astype("float64"), x.astype("int32"), x.astype(str)):
        code, message = refusal(numbered, "serving_default", {"x": wrong})
        assert (
            code == "INVALID_ARGUMENT"
            and f"float32 of shape (?, 2), but came {wrong.dtype}" in message
        )
    for wrong in (x[0], x[:, :1], x[None]):
        code, message = refusal(numbered, "serving_default", {"x": wrong})
        assert code == "INVALID_ARGUMENT" and f"came float32 of shape {wrong.shape}" in message
    for wrong in (np.array([[1]]), np.array([["a", 1]], object), np.array([["\ud800"]], object)):
        assert refusal(servable, "genre", {"tokens": wrong})[0] == "INVALID_ARGUMENT"
    code, message = refusal(numbered, "serving_defautl", {"x": x})
    assert code == "FAILED_PRECONDITION" and "['plain', 'serving_default']" in message


def test_what_the_graph_refuses_is_the_requests_fault_in_one_line(tmp_path):
    servable = Servable(saved_models.write_version(tmp_path, 1, saved_models.Refusing()))
    good = servable.run("serving_default", {"x": np.array([3, 4], "int32")})
    assert good["y"].tolist() == [4, 3]
    code, message = refusal(servable, "serving_default", {"x": np.array([3, 0], "int32")})
    assert code == "INVALID_ARGUMENT"
    assert "rows must be positive" in message and "\n" not in message


def test_a_request_is_left_as_it_came_in_whatever_memory_it_lies(numbered):
    # Bytes of a message cannot be written to, columns of an array are not one piece of memory.
    message = np.frombuffer(np.arange(4096, dtype="float32").tobytes(), "float32").reshape(-1, 2)
    wide = np.arange(8192, dtype="float32").reshape(2048, 4)
    for x in (message, wide[:, 1:3], wide[:, ::-2]):
        before = x.copy()
        for _ in range(2):
            answer = numbered.run("serving_default", {"x": x})["y"]
            np.testing.assert_array_equal(answer, before + 5)
        np.testing.assert_array_equal(x, before)


def test_threads_do_not_disturb_each_other(servable, songs):
    def ask(length):
        tokens = np.array([(WORD * 6)[:length] for WORD in (["play", "miles"], ["jazz", "some"])])
        return servable.run("slots", {"tokens": tokens})["slots"]

    alone = {length: ask(length) for length in range(1, 7)}
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for length, answer in zip(
            [*range(1, 7)] * 10, pool.map(ask, [*range(1, 7)] * 10), strict=True
        ):
            np.testing.assert_allclose(answer, alone[length], atol=1e-6)


def test_a_graph_that_pads_inside_has_dependent_rows(tmp_path):
    servable = Servable(saved_models.write_version(tmp_path, 1, saved_models.Words()))
    one = servable.run("serving_default", {"text": np.array(["play"])})["words"]
    two = servable.run("serving_default", {"text": np.array(["play", "some miles davis"])})["words"]
    assert one.shape == (1, 1) and two.shape == (2, 3), "the neighbour changes the answer"
    assert not servable.signature().independent_rows


class Letters(tf.Module):
    """The letters of each word, as many as the longest has, or as many as it is told."""

    def __init__(self, length):
        super().__init__()
        self.length = length

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def answer(self, words):
        letters = tf.strings.unicode_split(words, "UTF-8")
        return {"letters": letters.to_tensor("", shape=(None, self.length))}


@pytest.mark.parametrize("length", [3, None])
def test_padding_to_a_length_that_the_graph_says_leaves_rows_independent(tmp_path, length):
    servable = Servable(saved_models.write_version(tmp_path, 1, Letters(length)))
    one = servable.run("serving_default", {"words": np.array(["an"])})["letters"]
    two = servable.run("serving_default", {"words": np.array(["an", "ocean"])})["letters"]
    alike = one.shape == two[:1].shape and (one == two[:1]).all()
    assert alike == servable.signature().independent_rows == (length is not None)


class Parsing(tf.Module):
    def __init__(self, features):
        super().__init__()
        self.features = features

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def answer(self, examples):
        parsed = tf.io.parse_example(examples, self.features)["a"]
        return {"a": tf.identity(parsed)}


@pytest.mark.parametrize(
    ("feature", "independent"),
    [
        (tf.io.FixedLenFeature([2], tf.float32), True),
        (tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True), False),
    ],
)
def test_records_of_free_length_are_padded_by_the_parser_itself(tmp_path, feature, independent):
    path = saved_models.write_version(tmp_path, 1, Parsing({"a": feature}))
    assert Servable(path).signature().independent_rows is independent


def test_a_signature_without_rows_never_shares_a_call(numbered):
    assert numbered.signature().independent_rows
    assert not numbered.signature("plain").independent_rows


def test_a_folder_that_cannot_be_run_says_why(songs, tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(ServingError, match=r"1' is no SavedModel that can be run: .*saved_model"):
        Servable(tmp_path / "1")
    cut = saved_models.copy(songs[1] / "1", tmp_path, 2)
    saved_models.damage(cut)
    with pytest.raises(ServingError, match=r"2' is no SavedModel that can be run") as caught:
        Servable(cut)
    assert caught.value.code == "FAILED_PRECONDITION"
    unlabelled = saved_models.copy(songs[1] / "1", tmp_path, 3)
    (unlabelled / "assets" / "labels.json").write_text("{")
    with pytest.raises(ServingError, match="3' is no SavedModel that can be run"):
        Servable(unlabelled)


def warm_up_file(version, requests, name="serving_default"):
    logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    (version / "assets.extra").mkdir(exist_ok=True)
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for arrays in requests:
            log = logs.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = name
            for key, array in arrays.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())
    return file


def test_the_requests_of_the_export_warm_it_up(songs, tmp_path):
    version = saved_models.copy(songs[1] / "1", tmp_path, 1)
    assert Servable(version).warm_up() == 0, "there are none"
    file = warm_up_file(version, [{"tokens": SONGS}, {"tokens": SONGS[:1, :2]}])
    servable = Servable(version)
    assert servable.warm_up() == 2
    assert servable.run("genre", {"tokens": SONGS})["genre"].shape == (2, 3)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(ServingError, match="warmup_requests' cannot be replayed"):
        servable.warm_up()
    warm_up_file(version, [{"words": SONGS}])
    with pytest.raises(ServingError, match=r"takes the inputs \['tokens'\], but came \['words'\]"):
        servable.warm_up()


def test_the_label_asset_is_read_as_it_is(songs, servable):
    file = songs[1] / "1" / "assets" / "labels.json"
    assert servable.labels == json.loads(file.read_text())
