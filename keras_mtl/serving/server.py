"""A development server: one model's versions over REST and gRPC, as TF Serving would answer."""

import contextlib
import os
import pathlib
import signal
import socket
import threading
import time
from typing import Any

from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._extra import need_serve_extra
from keras_mtl.serving._metrics import Metrics
from keras_mtl.serving._repository import Repository
from keras_mtl.serving.rest import rest_app
from keras_mtl.serving.rpc import rpc_server

_STARTING_SECONDS = 60


class Server:
    """Serves the newest version in a folder until it is stopped.

    ```python
    with keras_mtl.serving.Server("saved_models/speech", port=0, grpc_port=0) as server:
        client = keras_mtl.serving.Client(f"http://127.0.0.1:{server.port}")
    ```

    Args:
        folder: The folder of the model's versions.
        name: What requests call the model; the folder's name by default.
        host: The address to listen on; by default only this machine can connect.
        port: REST's port; 0 takes a free one.
        grpc_port: gRPC's port; 0 takes a free one.
        token: The bearer token that requests must have; None lets everybody in.
        batching: Whether requests that come at the same time share a call of the model.
        poll: Seconds between two looks for a new version.

    Attributes:
        repository: The versions.
        port: After `start`, the port that REST listens on.
        grpc_port: After `start`, the port that gRPC listens on.

    Raises:
        ImportError: If the extra `serve` is not installed.
        ValueError: If `folder` is no folder of versions, or `token` is empty.
    """

    def __init__(
        self,
        folder: Any,
        *,
        name: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8501,
        grpc_port: int = 8500,
        token: str | None = None,
        batching: bool = True,
        poll: float = 1.0,
    ) -> None:
        need_serve_extra()
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            raise ValueError(
                "`token` is empty or has characters that no header can carry; expected printable "
                "ASCII, or None to let everybody in."
            )
        self.folder = pathlib.Path(folder)
        self.name = name
        self.host = host
        self.port = port
        self.grpc_port = grpc_port
        self.token = token
        self.batching = batching
        self.poll = poll
        self.repository: Repository | None = None
        self._stopping = threading.Event()
        self._undo = contextlib.ExitStack()

    def start(self) -> "Server":
        """Loads the newest version and listens.

        Raises:
            ValueError: If `folder` is no folder of versions.
            OSError: If a port is taken.
        """
        self._stopping.clear()
        with contextlib.ExitStack() as undo:
            listening = _listen(self.host, self.port)
            undo.callback(listening.close)
            self.repository = Repository(self.folder, self.name, self.poll)
            undo.callback(self.repository.close)
            batcher = Batcher() if self.batching else Batcher(1)
            metrics = Metrics(self.repository, batcher)
            self._rpc = rpc_server(self.repository, batcher, self.token, metrics)
            try:
                self.grpc_port = self._rpc.add_insecure_port(_address(self.host, self.grpc_port))
            except RuntimeError as error:
                raise _taken(self.host, self.grpc_port, error) from None
            self._rpc.start()
            undo.callback(lambda: self._rpc.stop(None).wait())
            self._rest = _Rest(rest_app(self.repository, batcher, self.token, metrics), listening)
            undo.callback(lambda: self._rest.stop(0))
            self.port = listening.getsockname()[1]
            self._rest.start()
            self._undo = undo.pop_all()
        return self

    def stop(self, grace: float = 30.0) -> None:
        """Takes no more requests, has those under way answered, and gives everything back.

        Args:
            grace: Seconds for the requests under way; what is left then is cut off.
        """
        self._stopping.set()
        if self.repository is not None:
            ended = self._rpc.stop(grace)
            self._rest.stop(grace)
            ended.wait()
            self._undo.close()
            self.repository = None

    def wait(self) -> None:
        """Blocks until `stop` is called, or, in the main thread, until SIGTERM or SIGINT comes."""
        with contextlib.ExitStack() as restore:
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGTERM, signal.SIGINT):
                    before = signal.signal(number, lambda *_: self._stopping.set())
                    restore.callback(signal.signal, number, before)
            # In turns: on Windows a wait without end does not hear Ctrl-C.
            while not self._stopping.wait(0.5):
                pass

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(self, *_: Any) -> None:
        self.stop()


class _Rest:
    """uvicorn in a thread of its own."""

    def __init__(self, app: Any, listening: socket.socket) -> None:
        import uvicorn

        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", ws="none")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(
            target=self.server.run,
            kwargs={"sockets": [listening]},
            name="keras-mtl-rest",
            daemon=True,
        )

    def start(self) -> None:
        self.thread.start()
        deadline = time.monotonic() + _STARTING_SECONDS
        while not self.server.started:
            if not self.thread.is_alive() or time.monotonic() > deadline:
                raise OSError("The REST server did not start; its log says why.")
            time.sleep(0.005)

    def stop(self, grace: float) -> None:
        self.server.config.timeout_graceful_shutdown = max(1, round(grace))
        self.server.should_exit = True
        if self.thread.ident is not None:
            self.thread.join()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP: asyncio sends small answers at once only on sockets that say so.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name != "nt":
            # There, it would let two servers share a port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(512)
    except (OSError, OverflowError) as error:
        listening.close()
        raise _taken(host, port, error) from None
    return listening


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _taken(host: str, port: int, error: Exception) -> OSError:
    return OSError(
        f"The server cannot listen on {_address(host, port)}: {error}; choose another port, or 0 for "
        "a free one."
    )
