"""TF Serving's gRPC services, by tensorflow-serving-api's own stubs, over one model's versions."""

import concurrent.futures
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, NoReturn

from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._errors import ServingError, invalid
from keras_mtl.serving._extra import need_serve_extra
from keras_mtl.serving._messages import arrays_of, metadata, states, tensor_of
from keras_mtl.serving._metrics import Metrics
from keras_mtl.serving._repository import Repository
from keras_mtl.serving._token import REFUSED, lets_in

log = logging.getLogger(__name__)


def rpc_server(
    repository: Repository,
    batcher: Batcher,
    token: str | None = None,
    metrics: Metrics | None = None,
    max_message_bytes: int = 32 * 2**20,
) -> Any:
    """A server, without a port yet, of PredictionService and ModelService.

    Predict, GetModelMetadata and GetModelStatus are answered; Classify, Regress, MultiInference and
    HandleReloadConfigRequest are UNIMPLEMENTED.

    Args:
        repository: The model.
        batcher: What joins requests.
        token: The bearer token that every call must have in its metadata; None lets everybody in.
        metrics: Where to count; own counters by default.
        max_message_bytes: The largest request that is read; RESOURCE_EXHAUSTED beyond.

    Returns:
        A `grpc.Server`.

    Raises:
        ImportError: If the extra `serve` is not installed.
    """
    need_serve_extra()
    import grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    metrics = metrics or Metrics(repository, batcher)
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(64, thread_name_prefix="keras-mtl-grpc"),
        interceptors=[_interceptor(token)] if token is not None else [],
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", -1),
            # Two servers must not share a port unseen.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=256,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _PredictionService(repository, batcher, metrics), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(repository), server)
    return server


class _PredictionService:
    """The methods have gRPC's names."""

    def __init__(self, repository: Repository, batcher: Batcher, metrics: Metrics) -> None:
        from tensorflow_serving.apis import predict_pb2

        self.repository = repository
        self.batcher = batcher
        self.metrics = metrics
        self.response = predict_pb2.PredictResponse

    def Predict(self, request: Any, context: Any) -> Any:
        with _refusing(context), self.metrics.observed("grpc"):
            spec = request.model_spec
            self.repository.check_name(spec.name)
            with self.repository.use(_version(spec)) as servable:
                signature = servable.signature(spec.signature_name)
                wanted = _wanted(request.output_filter, signature)
                arrays = arrays_of(request.inputs, signature)
                outputs = self.batcher.run(servable, signature.name, arrays)
                response = self.response(
                    outputs={name: tensor_of(outputs[name]) for name in wanted}
                )
                response.model_spec.name = self.repository.name
                response.model_spec.version.value = servable.version
                response.model_spec.signature_name = signature.name
                return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        with _refusing(context):
            self.repository.check_name(request.model_spec.name)
            if list(request.metadata_field) != ["signature_def"]:
                raise invalid(
                    f"`metadata_field` is {list(request.metadata_field)[:5]}; expected "
                    "['signature_def'], all that there is."
                )
            with self.repository.use(_version(request.model_spec)) as servable:
                return metadata(servable, self.repository.name)

    def Classify(self, request: Any, context: Any) -> Any:
        _unimplemented(context)

    def Regress(self, request: Any, context: Any) -> Any:
        _unimplemented(context)

    def MultiInference(self, request: Any, context: Any) -> Any:
        _unimplemented(context)


class _ModelService:
    """The methods have gRPC's names."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository

    def GetModelStatus(self, request: Any, context: Any) -> Any:
        with _refusing(context):
            self.repository.check_name(request.model_spec.name)
            return states(self.repository.status(_version(request.model_spec)))

    def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        _unimplemented(context)


def _version(spec: Any) -> int | None:
    if spec.version_label:
        raise ServingError("NOT_FOUND", "Versions have no labels here; ask for one by its number.")
    return spec.version.value if spec.HasField("version") else None


def _wanted(asked: Any, signature: Any) -> list[str]:
    """The outputs that a request asks for, all of them if it names none."""
    if not asked:
        return list(signature.outputs)
    unknown = set(asked) - set(signature.outputs)
    if unknown or len(set(asked)) != len(asked):
        raise invalid(
            f"`output_filter` is {list(asked)[:20]}; expected names of {list(signature.outputs)}, "
            "each once."
        )
    return list(asked)


@contextlib.contextmanager
def _refusing(context: Any) -> Iterator[None]:
    """Ends the call with the code of an error that is raised inside of the block."""
    import grpc

    try:
        yield
    except ServingError as error:
        context.abort(getattr(grpc.StatusCode, error.code), error.message)
    except Exception:
        log.exception("A request failed.")
        context.abort(grpc.StatusCode.INTERNAL, "The server failed; its log says why.")


def _unimplemented(context: Any) -> NoReturn:
    import grpc

    context.abort(grpc.StatusCode.UNIMPLEMENTED, "Only Predict is offered, with any signature.")
    raise AssertionError("abort raises")


def _interceptor(token: str) -> Any:
    import grpc

    def refuse(request: Any, context: Any) -> NoReturn:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, REFUSED)
        raise AssertionError("abort raises")

    refusal = grpc.unary_unary_rpc_method_handler(refuse)

    class Token(grpc.ServerInterceptor):
        """Lets in who has the token, before the request is read."""

        def intercept_service(self, continuation: Any, details: Any) -> Any:
            given = dict(details.invocation_metadata).get("authorization")
            return continuation(details) if lets_in(token, given) else refusal

    return Token()
