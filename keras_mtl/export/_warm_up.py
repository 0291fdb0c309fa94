"""Requests that a server answers by itself before the first client asks."""

import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from keras_mtl._extra import extra_module
from keras_mtl.export._signatures import Signature

# Where TF Serving, and `keras_mtl.serving`, look for them.
FILE = pathlib.PurePath("assets.extra", "tf_serving_warmup_requests")


def write_warm_up(folder: pathlib.Path, requests: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes one request a signature into a version folder, a TFRecord of `PredictionLog`.

    Args:
        folder: The version.
        requests: Arrays by input name, by signature.
    """
    log = extra_module("tensorflow_serving.apis.prediction_log_pb2", "serve", "`warm_up`")
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in requests.items():
            record = log.PredictionLog()
            request = record.predict_log.request
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(record.SerializeToString())


def read_warm_up(folder: pathlib.Path) -> dict[str, dict[str, np.ndarray]]:
    """The requests of a version folder, as `write_warm_up` takes them; none if it has none."""
    file = folder / FILE
    if not file.exists():
        return {}
    log = extra_module("tensorflow_serving.apis.prediction_log_pb2", "serve", "A warm-up request")
    requests = {}
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        request = log.PredictionLog.FromString(record).predict_log.request
        requests[request.model_spec.signature_name] = {
            name: tf.make_ndarray(value) for name, value in request.inputs.items()
        }
    return requests


def warm_up_requests(
    signatures: Mapping[str, Signature], rows: Mapping[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """What each signature is asked for these rows; each is answered once here.

    Raises:
        ValueError: If one cannot be answered: a server would refuse the version for it.
    """
    requests = {}
    for name, signature in signatures.items():
        request = requests[name] = signature.request(rows)
        try:
            signature.answer({key: tf.constant(value) for key, value in request.items()})
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"`warm_up` has rows that signature {name!r} cannot answer "
                f"({str(error).splitlines()[0]}); give rows as they are in the data."
            ) from error
    return requests
