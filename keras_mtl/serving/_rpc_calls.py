"""What a client asks over gRPC, with tensorflow-serving-api's own stubs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving._signature import Signature
from keras_mtl.serving._told_signature import signature_of
from keras_mtl.serving._typed_errors import error_of

# Batches of pictures are larger than gRPC's 4 MiB; how much is too much is for the server to say.
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # Its own waits between attempts to connect must be no longer than the client's.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class RpcCalls:
    """The calls of one model over gRPC, each bounded in time; safe to share among threads.

    Args:
        address: Where the server listens, `host:port`.
        secure: Whether over TLS.
        model: The model's name; None leaves it out, for a server of a single model.
        version: One of its versions, or None for the newest.
        token: Sent as the bearer token, if there is one.
    """

    def __init__(
        self, address: str, secure: bool, model: str | None, version: int | None, token: str | None
    ):
        try:
            import grpc
            from tensorflow_serving.apis import (
                get_model_metadata_pb2,
                get_model_status_pb2,
                model_service_pb2_grpc,
                predict_pb2,
                prediction_service_pb2_grpc,
            )
        except ImportError as error:
            raise ImportError(
                f"A client over gRPC needs tensorflow-serving-api ({error}); install it with: pip "
                'install "keras-mtl[serve]".'
            ) from None
        self._grpc = grpc
        self._requests = {
            "predict": predict_pb2.PredictRequest,
            "metadata": get_model_metadata_pb2.GetModelMetadataRequest,
            "status": get_model_status_pb2.GetModelStatusRequest,
        }
        self._signatures = get_model_metadata_pb2.SignatureDefMap
        self._states = get_model_status_pb2.ModelVersionStatus.State
        self._model, self._version = model or "", version
        self._headers = [("authorization", f"Bearer {token}")] if token else None
        self._channel = (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(), _OPTIONS)
            if secure
            else grpc.insecure_channel(address, _OPTIONS)
        )
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, signature: Signature, arrays: Mapping[str, np.ndarray], timeout: float
    ) -> dict[str, np.ndarray]:
        """The outputs of a signature, by name."""
        request = self._request("predict")
        request.model_spec.signature_name = signature.name
        for name, array in arrays.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._ask(self._prediction.Predict, request, timeout)
        return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    def metadata(self, timeout: float) -> dict[str, Signature]:
        """Every signature that takes and gives tensors, by name."""
        request = self._request("metadata")
        request.metadata_field.append("signature_def")
        answer = self._ask(self._prediction.GetModelMetadata, request, timeout)
        told = self._signatures()
        answer.metadata["signature_def"].Unpack(told)
        read = {name: signature_of(name, one) for name, one in told.signature_def.items()}
        return {name: signature for name, signature in read.items() if signature is not None}

    def status(self, timeout: float) -> list[dict[str, str]]:
        """Version, state and error message of every version."""
        answer = self._ask(self._models.GetModelStatus, self._request("status"), timeout)
        return [
            {
                "version": str(one.version),
                "state": self._states.Name(one.state),
                "error": one.status.error_message,
            }
            for one in answer.model_version_status
        ]

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _request(self, kind: str) -> Any:
        request = self._requests[kind]()
        request.model_spec.name = self._model
        if self._version is not None:
            request.model_spec.version.value = self._version
        return request

    def _ask(self, call: Callable[..., Any], request: Any, timeout: float) -> Any:
        try:
            return call(request, timeout=timeout, metadata=self._headers)
        except self._grpc.RpcError as error:
            raise error_of(error.code().name, error.details() or error.code().name) from None
