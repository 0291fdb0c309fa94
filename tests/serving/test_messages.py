"""Tensors in messages: read and written as TensorFlow's own functions read and write them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._messages import arrays_of, tensor_of
from keras_mtl.serving._signature import Signature, Spec

ARRAYS = {
    "floats": np.linspace(-1, 1, 12, dtype="float32").reshape(2, 3, 2),
    "halves": np.array([[0.5, -2]], "float16"),
    "brain floats": np.array([1.5, 3], tf.bfloat16.as_numpy_dtype),
    "whole numbers": np.array([[2**60], [-1]]),
    "truths": np.array([True, False]),
    "complex": np.array([1 + 2j], "complex64"),
    "every other column": np.arange(12, dtype="int32").reshape(3, 4)[:, ::2],
    "no rows": np.zeros((0, 3), "float32"),
    "a number": np.float32(3).reshape(()),
    "words": np.array([[b"miles", b""], [b"\xff\x00", b"davis"]], object),
    "a word": np.array(b"jazz", object),
    "no words": np.empty((2, 0), object),
}


def taken(tensor):
    dtype = tf.as_dtype(tensor.dtype).name
    return arrays_of({"x": tensor}, Signature("s", {"x": Spec(dtype, None)}, {}))["x"]


def same(found, expected):
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_is_read_from_what_tensorflow_writes_and_written_as_it_reads(array):
    same(taken(tf.make_tensor_proto(array)), array)
    written = tensor_pb2.TensorProto.FromString(tensor_of(array).SerializeToString())
    assert written.HasField("tensor_shape")
    same(tf.make_ndarray(written), array)
    # What a graph of TF Serving makes of it, in C++.
    parsed = tf.io.parse_tensor(written.SerializeToString(), tf.as_dtype(written.dtype))
    same(np.asarray(parsed.numpy(), array.dtype), array)


@pytest.mark.parametrize(
    "content",
    [
        {"dtype": 1, "float_val": [1, 2, 3, 4]},
        {"dtype": 1, "float_val": [1, 2]},
        {"dtype": 7, "string_val": [b"a", b"b", b"c", b"d"]},
        {"dtype": 7, "string_val": [b"a", b"b"]},
        {"dtype": 7},
    ],
    ids=str,
)
def test_values_that_are_written_singly_are_read_as_tensorflow_reads_them(content):
    tensor = tensor_pb2.TensorProto(**content)
    for size in (2, 2):
        tensor.tensor_shape.dim.add().size = size
    same(taken(tensor), tf.make_ndarray(tensor))


@pytest.mark.parametrize(
    "content",
    [
        {"dtype": 1, "tensor_content": b"\0" * 12},
        {"dtype": 1, "tensor_content": b"\0" * 17},
        {"dtype": 1, "tensor_content": b"\0" * 20},
        {"dtype": 7, "string_val": [b"a"] * 5},
        {"dtype": 7, "string_val": [b"a"] * 4, "tensor_content": b"\0" * 32},
    ],
    ids=str,
)
def test_content_that_is_not_of_its_shape_is_refused(content):
    tensor = tensor_pb2.TensorProto(**content)
    for size in (2, 2):
        tensor.tensor_shape.dim.add().size = size
    with pytest.raises(ServingError, match=r"its shape is \[2, 2\], but its content is not") as e:
        taken(tensor)
    assert e.value.code == "INVALID_ARGUMENT"
