"""Rows sent as tf.train.Example: what is parsed is what was written, whatever its type and shape."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

import keras_mtl
from keras_mtl import export


def model_of_every_kind() -> keras_mtl.MultiTaskModel:
    """Tasks that are sums of the inputs, so that each value can be worked by hand."""
    inputs = {
        "words": keras.Input((None,), name="words", dtype="string"),
        "steps": keras.Input((None, 2, 1), name="steps"),
        "grid": keras.Input((2, 3), name="grid", dtype="float64"),
        "age": keras.Input((), name="age", dtype="float16"),
        "town-code": keras.Input((), name="town-code", dtype="int32"),
        "pixel": keras.Input((2,), name="pixel", dtype="uint8"),
        "member": keras.Input((), name="member", dtype="bool"),
    }
    number = keras.layers.StringLookup(vocabulary=["one", "two", "three"], mask_token="")
    return keras_mtl.MultiTaskModel(
        inputs,
        {
            "numbers": ops.cast(number(inputs["words"]), "int32"),
            "travelled": ops.sum(inputs["steps"], axis=(1, 3)),
            "first_column": inputs["grid"][:, :, 0],
            "next_age": inputs["age"] + 1,
            "town": inputs["town-code"] + 0,
            "light": ops.sum(ops.cast(inputs["pixel"], "int32"), axis=-1),
            "guest": ops.logical_not(inputs["member"]),
        },
    )


def example(**features) -> bytes:
    made = {}
    for name, values in features.items():
        name = name.replace("__", "-")
        if isinstance(values[0] if values else b"", bytes):
            made[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        elif isinstance(values[0], float):
            made[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            made[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


FIRST = {
    "words": [b"two", b"", b"three", b"one"],
    "steps": [1.0, 2.0, 3.0, 4.0],
    "grid": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "age": [29.5],
    "town__code": [-70000],
    "pixel": [255, 3],
    "member": [1],
}
SECOND = {
    "words": [b"one"],
    "steps": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
    "grid": [7.0, 0.0, 0.0, 8.0, 0.0, 0.0],
    "age": [0.25],
    "town__code": [7],
    "pixel": [0, 1],
    "member": [0],
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    path = export.saved_model(model_of_every_kind(), tmp_path_factory.mktemp("kinds"))
    loaded = tf.saved_model.load(str(path))

    def answer(*examples: bytes):
        given = loaded.signatures["serving_examples"](examples=tf.constant(examples, tf.string))
        return {name: value.numpy() for name, value in given.items()}

    return answer


def test_every_type_and_shape_is_read_back(served):
    answers = served(example(**FIRST), example(**SECOND))
    # Unknown words are 1, the known ones follow; padding is 0, and so is the empty word.
    assert answers["numbers"].tolist() == [[3, 0, 4, 2], [2, 0, 0, 0]]
    np.testing.assert_array_equal(answers["travelled"], [[4, 6], [90, 120]])
    np.testing.assert_array_equal(answers["first_column"], [[1, 4], [7, 8]])
    np.testing.assert_array_equal(answers["next_age"], [30.5, 1.25])
    assert answers["next_age"].dtype == np.float32, "half precision is served as float32"
    assert answers["town"].tolist() == [-70000, 7]
    assert answers["light"].tolist() == [258, 1]
    assert answers["guest"].tolist() == [False, True]


def test_a_row_is_answered_beside_others_as_alone(served):
    together = served(example(**FIRST), example(**SECOND))
    alone = served(example(**SECOND))
    assert alone["numbers"].shape == (1, 1), "padded to the longest of its own request"
    for name in ("travelled", "first_column", "next_age", "town", "light", "guest"):
        np.testing.assert_array_equal(alone[name][0], together[name][1])


def test_sequences_without_a_value_are_padding_of_length_one(served):
    # A list without a value has no type.
    empty = example(**{**SECOND, "words": []})
    left_out = example(**{k: v for k, v in SECOND.items() if k not in ("words", "steps")})
    for given, travelled in ((empty, [[90.0, 120.0]]), (left_out, [[0.0, 0.0]])):
        answers = served(given)
        assert answers["numbers"].tolist() == [[0]]
        assert answers["travelled"].tolist() == travelled
        assert answers["town"].tolist() == [7]


def test_no_rows_give_no_answers(served):
    assert {name: value.shape[0] for name, value in served().items()} == dict.fromkeys(
        model_of_every_kind().task_names, 0
    )


def test_what_is_no_such_row_is_refused_with_the_feature(served):
    for fault, told in [
        ({"age": None}, "Feature: age"),
        ({"age": [1.0, 2.0]}, "Key: age"),
        ({"age": [b"old"]}, "Key: age"),
        ({"grid": [1.0]}, "Key: grid"),
    ]:
        features = {k: v for k, v in {**FIRST, **fault}.items() if v is not None}
        with pytest.raises(tf.errors.InvalidArgumentError, match=told):
            served(example(**features))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"[Cc]ould not parse example"):
        served(b"\x0f no example")
    with pytest.raises(tf.errors.InvalidArgumentError):
        # Steps are pairs.
        served(example(**{**FIRST, "steps": [1.0, 2.0, 3.0]}))


def test_an_input_of_two_free_lengths_cannot_be_a_flat_list(tmp_path):
    image = keras.Input((None, None, 3), name="image")
    model = keras_mtl.MultiTaskModel(image, {"colour": ops.mean(image, axis=(1, 2))})
    loaded = tf.saved_model.load(str(export.saved_model(model, tmp_path)))
    assert set(loaded.signatures) == {"serving_default", "colour"}
