"""TF Serving's gRPC services, asked by tensorflow-serving-api's own stubs."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._repository import Repository
from keras_mtl.serving.rpc import rpc_server
from tests.serving import saved_models
from tests.serving.saved_models import SONGS

grpc = pytest.importorskip("grpc")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")

from tensorflow_serving.apis import (  # noqa: E402
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
    regression_pb2,
)


class Asked:
    """A running server and the stubs that ask it."""

    def __init__(self, folder, **kwargs):
        self.repository = Repository(folder, poll=3600)
        self.server = rpc_server(self.repository, Batcher(), **kwargs)
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def close(self):
        self.channel.close()
        self.server.stop(0).wait()
        self.repository.close()


@pytest.fixture(scope="module")
def asked(songs):
    asked = Asked(songs[1])
    yield asked
    asked.close()


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grpc") / "numbered"
    folder.mkdir()
    saved_models.write_version(folder, 3, saved_models.Numbered(3))
    asked = Asked(folder, max_message_bytes=10_000)
    yield asked
    asked.close()


def request(signature="", model="songs", version=None, **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = model
    message.model_spec.signature_name = signature
    if version is not None:
        message.model_spec.version.value = version
    for name, value in inputs.items():
        told = isinstance(value, tensor_pb2.TensorProto)
        message.inputs[name].CopyFrom(value if told else tf.make_tensor_proto(value))
    return message


def refusal(call, message, **kwargs):
    with pytest.raises(grpc.RpcError) as caught:
        call(message, **kwargs)
    return caught.value.code(), caught.value.details()


def test_predict_answers_what_the_model_predicts(asked, songs):
    answer = asked.prediction.Predict(request(tokens=SONGS))
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("songs", 1)
    assert answer.model_spec.signature_name == "serving_default"
    assert set(answer.outputs) == {"genre", "slots"}
    for name, expected in songs[2].items():
        np.testing.assert_allclose(tf.make_ndarray(answer.outputs[name]), expected, atol=1e-5)


def test_signatures_versions_and_outputs_can_be_chosen(asked, songs):
    alone = asked.prediction.Predict(request("slots", version=1, tokens=SONGS))
    np.testing.assert_allclose(
        tf.make_ndarray(alone.outputs["slots"]), songs[2]["slots"], atol=1e-5
    )
    words = asked.prediction.Predict(request("serving_labels", tokens=SONGS)).outputs
    assert tf.make_ndarray(words["slots"]).shape == (2, 3)
    assert words["genre"].dtype == tf.string.as_datatype_enum
    message = request(tokens=SONGS)
    message.output_filter.append("genre")
    assert set(asked.prediction.Predict(message).outputs) == {"genre"}
    for names in (["mood"], ["genre", "genre"]):
        del message.output_filter[:]
        message.output_filter.extend(names)
        code, why = refusal(asked.prediction.Predict, message)
        assert code == grpc.StatusCode.INVALID_ARGUMENT and "`output_filter`" in why


def test_metadata_tells_names_types_and_shapes(asked):
    message = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    message.model_spec.name = "songs"
    told = asked.prediction.GetModelMetadata(message)
    assert told.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert told.metadata["signature_def"].Unpack(signatures)
    default = signatures.signature_def["serving_default"]
    assert default.inputs["tokens"].dtype == tf.string.as_datatype_enum
    assert [d.size for d in default.outputs["slots"].tensor_shape.dim] == [-1, -1, 3]
    message.metadata_field[:] = ["other"]
    code, why = refusal(asked.prediction.GetModelMetadata, message)
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "['signature_def']" in why


def test_the_state_of_versions_is_told(asked):
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = "songs"
    (state,) = asked.models.GetModelStatus(message).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert (state.version, state.state, state.status.error_code) == (1, available, 0)
    message.model_spec.version.value = 5
    assert refusal(asked.models.GetModelStatus, message)[0] == grpc.StatusCode.NOT_FOUND


def test_what_is_not_there_is_not_found(asked):
    for message in (request(model="other", tokens=SONGS), request(version=2, tokens=SONGS)):
        assert refusal(asked.prediction.Predict, message)[0] == grpc.StatusCode.NOT_FOUND
    # As TF Serving has it.
    code, why = refusal(asked.prediction.Predict, request("mood", tokens=SONGS))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and "mood" in why
    labelled = request(tokens=SONGS)
    labelled.model_spec.version_label = "stable"
    code, why = refusal(asked.prediction.Predict, labelled)
    assert code == grpc.StatusCode.NOT_FOUND and "labels" in why


def lying(dtype, sizes, **content):
    tensor = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, **content)
    for size in sizes:
        tensor.tensor_shape.dim.add().size = size
    return tensor


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"z": np.zeros((1, 2), "float32")},
        {"x": np.zeros((1, 2), "float64")},
        {"x": np.zeros((1, 3), "float32")},
        {"x": np.zeros(2, "float32")},
        {"x": np.array([["a", "b"]])},
        {"x": lying(tf.float32, [1, 2], tensor_content=b"1234567")},
        {"x": lying(tf.float32, [2, 2], tensor_content=b"12345678")},
        {"x": lying(tf.float32, [1, 2], float_val=[1, 2, 3])},
        {"x": lying(tf.float32, [-1, -2], float_val=[1, 2])},
        {"x": lying(tf.float32, [2**40, 2**40], float_val=[1])},
        {"x": lying(tf.float32, [2**31, 2], float_val=[1])},
        {"x": lying(tf.string, [1, 2], string_val=[b"a", b"b"])},
        {"x": tensor_pb2.TensorProto(dtype=99)},
        {"x": tensor_pb2.TensorProto()},
    ],
    ids=str,
)
def test_tensors_that_are_not_what_is_taken_are_refused(numbered, inputs):
    code, why = refusal(numbered.prediction.Predict, request(model="numbered", **inputs))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "'x'" in why
    good = request(model="numbered", x=np.ones((1, 2), "float32"))
    assert tf.make_ndarray(numbered.prediction.Predict(good).outputs["y"]).tolist() == [[4, 4]]


def test_one_value_stands_for_all_as_in_every_tensor_message(numbered):
    message = request(model="numbered", x=lying(tf.float32, [3, 2], float_val=[2]))
    answer = tf.make_ndarray(numbered.prediction.Predict(message).outputs["y"])
    np.testing.assert_array_equal(answer, np.full((3, 2), 5, "float32"))


def test_a_message_that_is_too_large_is_refused_unread(numbered):
    message = request(model="numbered", x=np.zeros((2000, 2), "float32"))
    code, _ = refusal(numbered.prediction.Predict, message)
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_scalar_and_bytes_go_through(numbered):
    outputs = numbered.prediction.Predict(request("plain", "numbered", n=np.int32(4))).outputs
    assert tf.make_ndarray(outputs["twice"]) == 8
    assert tf.make_ndarray(outputs["text_bytes"]).tolist() == [b"\xff\x00"]


def test_the_other_calls_are_unimplemented(asked):
    for call, message in (
        (asked.prediction.Classify, classification_pb2.ClassificationRequest()),
        (asked.prediction.Regress, regression_pb2.RegressionRequest()),
        (asked.prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        (asked.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ):
        assert refusal(call, message)[0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_token_is_asked_for(songs):
    asked = Asked(songs[1], token="s3cret")
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "songs"
    for call, message in (
        (asked.prediction.Predict, request(tokens=SONGS)),
        (asked.models.GetModelStatus, status),
    ):
        for wrong in ((), [("authorization", "Bearer other")], [("authorization", "s3cret")]):
            code, why = refusal(call, message, metadata=wrong)
            assert code == grpc.StatusCode.UNAUTHENTICATED and "Bearer" in why
        call(message, metadata=[("authorization", "Bearer s3cret")])
    asked.close()


def test_a_failure_of_the_server_tells_no_secrets(asked, monkeypatch):
    def broken(*args):
        raise RuntimeError("an inner secret")

    monkeypatch.setattr("keras_mtl.serving.rpc.arrays_of", broken)
    code, why = refusal(asked.prediction.Predict, request(tokens=SONGS))
    assert code == grpc.StatusCode.INTERNAL and "secret" not in why
