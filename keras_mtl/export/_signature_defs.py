"""The signatures that a SavedModel offers, read from its file."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_METHOD = "tensorflow/serving/predict"


class Offered(NamedTuple):
    """What a signature takes and gives, by name."""

    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]


def offered(folder: pathlib.Path) -> dict[str, Offered]:
    """The signatures of a SavedModel by name, `serving_default` first.

    Raises:
        OSError: If there is none in the folder.
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (graph,) = saved.meta_graphs
    return {
        name: Offered(_specs(signature.inputs), _specs(signature.outputs))
        for name, signature in sorted(
            graph.signature_def.items(), key=lambda item: (item[0] != "serving_default", item[0])
        )
        if signature.method_name == _METHOD
    }


def _specs(told: Mapping[str, Any]) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.DType(info.dtype))
        for name, info in sorted(told.items())
    }
