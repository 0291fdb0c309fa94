"""TF Serving's REST API, with a page for people, over one model's versions."""

import contextlib
import json
import logging
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

from keras_mtl.serving import _openapi, _rows
from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._extra import need_serve_extra
from keras_mtl.serving._messages import metadata, states
from keras_mtl.serving._metrics import Metrics
from keras_mtl.serving._repository import Repository
from keras_mtl.serving._request_body import Bodies
from keras_mtl.serving._token import REFUSED, lets_in

log = logging.getLogger(__name__)
# The page holds nothing of the model but its name; it asks for the token itself.
# JSON takes up to twenty times its text while it is read, so large bodies are read one at a time.
_LARGE = 2**20
_one_large = threading.Lock()
_OPEN = {"/healthz", "/"}


def rest_app(
    repository: Repository,
    batcher: Batcher,
    token: str | None = None,
    metrics: Metrics | None = None,
    max_body_bytes: int = 32 * 2**20,
) -> Any:
    """The ASGI application.

    | path | what |
    | --- | --- |
    | `POST /v1/models/NAME[/versions/N]:predict` | answers, in row or column form |
    | `GET /v1/models/NAME[/versions/N]` | the state of the versions |
    | `GET /v1/models/NAME[/versions/N]/metadata` | the signatures |
    | `GET /v1/models/NAME[/versions/N]/labels` | what the numbers mean; not in TF Serving |
    | `GET /v1/models` | the name of the model; not in TF Serving |
    | `GET /healthz`, `/metrics`, `/openapi.json`, `/` | for machines; the last one for people |

    Every error is `{"error": "..."}` with TF Serving's status.

    Args:
        repository: The model.
        batcher: What joins requests.
        token: The bearer token that every path but `/healthz` and `/` asks for; None lets everybody in.
        metrics: Where to count; own counters by default.
        max_body_bytes: The largest body that is read; 413 beyond.

    Returns:
        A `fastapi.FastAPI`.

    Raises:
        ImportError: If the extra `serve` is not installed.
    """
    need_serve_extra()
    import fastapi
    from fastapi.concurrency import run_in_threadpool

    metrics = metrics or Metrics(repository, batcher)
    bodies = Bodies(max_body_bytes)
    # Their pages would load scripts from the network.
    app = fastapi.FastAPI(
        title=f"keras-mtl: {repository.name}",
        docs_url=None,
        redoc_url=None,
        # A path with one slash more is none of this server's, as it is none of TF Serving's.
        redirect_slashes=False,
    )
    _answer_errors(app)
    app.add_middleware(_Token, token=token)
    Version = Annotated[int, fastapi.Path(ge=0, le=2**63 - 1)]

    async def predict(name: str, version: int | None, request: Any) -> Any:
        async with bodies.read(request) as body:

            def answer() -> bytes:
                with metrics.observed("rest"):
                    return _predict(repository, batcher, name, version, body)

            return _json(await run_in_threadpool(answer))

    def state(name: str, version: int | None) -> Any:
        _check_path(name)
        repository.check_name(name)
        return _json(_dumps(states(repository.status(version))))

    def described(name: str, version: int | None) -> Any:
        repository.check_name(name)
        with repository.use(version) as servable:
            return _json(_dumps(metadata(servable, name)))

    @app.post("/v1/models/{name}:predict", **_openapi.PREDICT)
    async def predict_newest(name: str, request: fastapi.Request) -> Any:
        return await predict(name, None, request)

    @app.post("/v1/models/{name}/versions/{version}:predict", **_openapi.PREDICT)
    async def predict_version(name: str, version: Version, request: fastapi.Request) -> Any:
        return await predict(name, version, request)

    @app.get("/v1/models/{name}", **_openapi.STATUS)
    async def status(name: str) -> Any:
        return state(name, None)

    @app.get("/v1/models/{name}/versions/{version}", **_openapi.STATUS)
    async def version_status(name: str, version: Version) -> Any:
        return state(name, version)

    @app.get("/v1/models/{name}/metadata", **_openapi.METADATA)
    async def newest_metadata(name: str) -> Any:
        return described(name, None)

    @app.get("/v1/models/{name}/versions/{version}/metadata", **_openapi.METADATA)
    async def version_metadata(name: str, version: Version) -> Any:
        return described(name, version)

    def labels(name: str, version: int | None) -> Any:
        repository.check_name(name)
        with repository.use(version) as servable:
            return _json(json.dumps(servable.labels).encode())

    @app.get("/v1/models/{name}/labels", **_openapi.LABELS)
    async def newest_labels(name: str) -> Any:
        return labels(name, None)

    @app.get("/v1/models/{name}/versions/{version}/labels", **_openapi.LABELS)
    async def version_labels(name: str, version: Version) -> Any:
        return labels(name, version)

    @app.get("/v1/models", **_openapi.MODELS)
    async def models() -> Any:
        return _json(json.dumps({"models": [{"name": repository.name}]}).encode())

    @app.get("/healthz", **_openapi.HEALTH)
    async def health() -> Any:
        if not repository.ready:
            raise ServingError("UNAVAILABLE", f"Model {repository.name!r} has no version yet.")
        return _json(b'{"status": "ok"}')

    @app.get("/metrics", **_openapi.METRICS)
    async def prometheus() -> Any:
        return fastapi.Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/", include_in_schema=False)
    async def page() -> Any:
        from keras_mtl.serving._page import page

        return fastapi.responses.HTMLResponse(page(repository.name))

    return app


def _predict(
    repository: Repository, batcher: Batcher, name: str, version: int | None, body: bytes
) -> bytes:
    repository.check_name(name)
    with repository.use(version) as servable:
        with _one_large if len(body) > _LARGE else contextlib.nullcontext():
            request = _rows.read_body(body)
            signature = servable.signature(_rows.signature_name(request))
            arrays = _rows.read_rows(request, signature)
            columns = "inputs" in request
            del request
        outputs = batcher.run(servable, signature.name, arrays)
        return _rows.write_rows(outputs, signature, columns=columns)


def _answer_errors(app: Any) -> None:
    """Gives every error TF Serving's form, also those of the frame around the paths."""
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    @app.exception_handler(ServingError)
    async def refused(request: Any, error: ServingError) -> Any:
        return _error(error.http_status, error.message)

    @app.exception_handler(HTTPException)
    async def lost(request: Any, error: HTTPException) -> Any:
        status = error.status_code
        if status == 404 and request.url.path.startswith("/v1/"):
            # So TF Serving says of a path that is none of its own.
            status = 400
        what = f"{request.method} {request.url.path[:200]}"
        return _error(status, f"Malformed request: {what}", error.headers)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Any, error: RequestValidationError) -> Any:
        return _error(400, "A version is a number of at least 0.")

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Any, error: ClientDisconnect) -> Any:
        return _error(400, "The body was cut off.")

    @app.exception_handler(Exception)
    async def failed(request: Any, error: Exception) -> Any:
        return _error(500, "The server failed; its log says why.")


def _check_path(name: str) -> None:
    if ":" in name:
        raise ServingError("INVALID_ARGUMENT", "Predictions are asked for with POST.", 405)


def _json(content: bytes, status: int = 200, headers: Any = None) -> Any:
    from fastapi import Response

    return Response(content, status, headers=headers, media_type="application/json")


def _error(status: int, message: str, headers: Any = None) -> Any:
    return _json(json.dumps({"error": message}).encode(), status, headers)


def _dumps(message: Any) -> bytes:
    from google.protobuf import json_format

    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return json.dumps(fields).encode()


class _Token:
    """Lets in who has the token, before anything of the request is read."""

    def __init__(self, app: Callable[..., Awaitable[None]], token: str | None) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            headers = {key.lower(): value.decode("latin-1") for key, value in scope["headers"]}
            if not lets_in(self.token, headers.get(b"authorization")):
                refusal = _error(401, REFUSED, {"WWW-Authenticate": "Bearer"})
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)
