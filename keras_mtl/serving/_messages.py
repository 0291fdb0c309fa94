"""TF Serving's messages: tensors to and from arrays, a model's metadata and the state of its versions."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_mtl.serving._errors import invalid
from keras_mtl.serving._signature import Signature

# What one tensor may take in memory, as much as the largest message: one of a few bytes can claim
# any shape.
MAX_TENSOR_BYTES = 32 * 2**20


def arrays_of(tensors: Mapping[str, Any], signature: Signature) -> dict[str, np.ndarray]:
    """The arrays of a request's TensorProto messages, of the types that the signature takes.

    Raises:
        ServingError: INVALID_ARGUMENT, if a message is of another type, or not what it says.
    """
    arrays = {}
    for name, tensor in tensors.items():
        expected = signature.inputs.get(name)
        if expected is None:
            # `Signature.checked` says what is wrong with a name that nobody knows.
            arrays[name] = np.empty(0)
            continue
        if tensor.dtype != tf.as_dtype(expected.dtype).as_datatype_enum:
            raise invalid(
                f"Input {name!r} of signature {signature.name!r} is {expected}, but came a tensor of "
                f"type number {tensor.dtype}."
            )
        arrays[name] = _array(name, tensor)
    return arrays


def _array(name: str, tensor: Any) -> np.ndarray:
    sizes = [dim.size for dim in tensor.tensor_shape.dim]
    dtype = tf.as_dtype(tensor.dtype)
    # A string takes a pointer.
    claimed = math.prod(sizes) * (8 if dtype == tf.string else dtype.size)
    if tensor.tensor_shape.unknown_rank or any(s < 0 for s in sizes) or claimed > MAX_TENSOR_BYTES:
        raise invalid(
            f"Input {name!r} says that its shape is {sizes[:20]}; expected sizes of at least 0 and "
            f"at most {MAX_TENSOR_BYTES} bytes in all."
        )
    try:
        # Nearly all tensors that come are of these two kinds, read here without a copy; any other
        # way to write one is TensorFlow's to read, which takes longer than the rest of the message.
        content, strings = tensor.tensor_content, tensor.string_val
        if dtype == tf.string and not content and len(strings) == math.prod(sizes):
            return np.array(list(strings), object).reshape(sizes)
        if dtype != tf.string and content:
            return np.frombuffer(content, dtype.as_numpy_dtype).reshape(sizes)
        return tf.make_ndarray(tensor)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise invalid(
            f"Input {name!r} says that its shape is {sizes[:20]}, but its content is not: {error}"
        ) from None


def tensor_of(array: np.ndarray) -> Any:
    """An array as a TensorProto message."""
    if array.dtype == object:
        strings = array.ravel().tolist()
        tensor = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, string_val=strings)
    else:
        number = tf.as_dtype(array.dtype).as_datatype_enum
        tensor = tensor_pb2.TensorProto(dtype=number, tensor_content=array.tobytes())
    # A scalar has a shape, too, of no axes.
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add().size = size
    return tensor


def metadata(servable: Any, name: str) -> Any:
    """What a version takes and gives, as a GetModelMetadataResponse."""
    from tensorflow_serving.apis import get_model_metadata_pb2

    signatures = get_model_metadata_pb2.SignatureDefMap()
    for key, definition in servable.signature_defs.items():
        signatures.signature_def[key].CopyFrom(definition)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = name
    response.model_spec.version.value = servable.version
    response.metadata["signature_def"].Pack(signatures)
    return response


def states(versions: list[dict[str, Any]]) -> Any:
    """The states of versions, as `Repository.status` gives them, as a GetModelStatusResponse."""
    from tensorflow_serving.apis import get_model_status_pb2

    response = get_model_status_pb2.GetModelStatusResponse()
    for entry in versions:
        state = response.model_version_status.add()
        state.version = int(entry["version"])
        state.state = get_model_status_pb2.ModelVersionStatus.State.Value(entry["state"])
        state.status.error_message = entry["error"]
        if entry["error"]:
            state.status.error_code = 2  # UNKNOWN, as TF Serving says of a version that fails.
    return response
