"""Servers that behave as badly as a test needs: they answer what they are told to."""

import contextlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

# What TF Serving 2.x says of a model that gives y for x, with what only its loader calls.
_TENSOR = {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1", "name": ""}],
                                                 "unknown_rank": False}, "name": "x:0"}  # fmt: skip
_INIT = {"dtype": "DT_INVALID", "tensor_shape": {"dim": [], "unknown_rank": True}, "name": "NoOp"}
METADATA = {
    "model_spec": {"name": "m", "signature_name": "", "version": "7"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {"x": _TENSOR},
                    "outputs": {"y": _TENSOR},
                    "method_name": "tensorflow/serving/predict",
                },
                "__saved_model_init_op": {
                    "inputs": {},
                    "outputs": {"__saved_model_init_op": _INIT},
                    "method_name": "",
                },
            }
        }
    },
}


class Rest:
    """A server over HTTP.

    Attributes:
        url: Where it listens.
        asked: Method and path of every request, in their order.
        answer: Called with method and path; gives a status and a body, which is written as JSON if
            it is no text.
    """

    def __init__(self, port: int, answer: Callable[[str, str], tuple[int, Any]]):
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str]] = []
        self.answer = answer


@contextlib.contextmanager
def rest(answer: Callable[[str, str], tuple[int, Any]]) -> Iterator[Rest]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            stub.asked.append((self.command, self.path))
            status, body = stub.answer(self.command, self.path)
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Rest(server.server_port, answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def rpc(refusals: int) -> Iterator[tuple[str, list[str]]]:
    """A PredictionService that gives y = x, after it was UNAVAILABLE for some calls of Predict."""
    import concurrent.futures

    import grpc
    from google.protobuf import json_format
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    asked: list[str] = []

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def GetModelMetadata(self, request: Any, context: Any) -> Any:
            asked.append("metadata")
            told = json_format.ParseDict(
                METADATA["metadata"]["signature_def"], get_model_metadata_pb2.SignatureDefMap()
            )
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(told)
            return response

        def Predict(self, request: Any, context: Any) -> Any:
            asked.append("predict")
            if asked.count("predict") <= refusals:
                context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
            return predict_pb2.PredictResponse(outputs={"y": request.inputs["x"]})

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}", asked
    finally:
        server.stop(None).wait()
