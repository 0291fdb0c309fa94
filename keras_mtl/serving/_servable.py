"""One version of a model, loaded from its SavedModel as TF Serving loads it."""

import contextlib
import json
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from keras_mtl.serving._errors import HTTP_STATUS, ServingError, invalid
from keras_mtl.serving._row_independence import independent_rows
from keras_mtl.serving._signature import Signature, Spec, spec_of

__all__ = ["Servable", "Signature", "Spec"]

_METHODS = {f"tensorflow/serving/{method}" for method in ("predict", "classify", "regress")}
_WARM_UP = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
# TF Serving replays no more either.
_WARM_UP_RECORDS = 1000


class Servable:
    """A SavedModel in a session of its own: arrays in, arrays out, from any number of threads.

    A session and not `tf.saved_model.load`: it is the path that TF Serving takes, it costs less a
    call, and its memory is given back when it is closed.

    Args:
        path: The folder of the version, named by its number.

    Attributes:
        path: That folder.
        version: Its number; 0 where the folder is not named by one.
        signatures: By name, what can be called.
        signature_defs: The same as TensorFlow's messages.
        labels: What the numbers mean, from `assets/labels.json`; empty if it is not there.

    Raises:
        ServingError: FAILED_PRECONDITION, if there is no SavedModel that can be run.
    """

    def __init__(self, path: Any) -> None:
        self.path = pathlib.Path(path)
        self.version = int(self.path.name) if self.path.name.isdecimal() else 0
        try:
            self._session, graph = _load(self.path)
            self.labels = _labels(self.path)
            self.signature_defs = {
                name: definition
                for name, definition in sorted(graph.signature_def.items())
                if definition.method_name in _METHODS and _dense(definition)
            }
            self.signatures = {
                name: _signature(name, definition, graph.graph_def)
                for name, definition in self.signature_defs.items()
            }
        # What TensorFlow raises on a damaged file is not one kind of error.
        except Exception as error:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"{str(self.path)!r} is no SavedModel that can be run: {_first_line(error)}",
            ) from error
        self._calls: dict[str, Callable[..., Any]] = {}
        self._making = threading.Lock()

    def signature(self, name: str = "") -> Signature:
        """A signature by name, `serving_default` for no name.

        Raises:
            ServingError: FAILED_PRECONDITION, as TF Serving has it, if there is none.
        """
        name = name or "serving_default"
        if name not in self.signatures:
            raise ServingError(
                "FAILED_PRECONDITION",
                f"There is no signature {name[:100]!r}; version {self.version} has "
                f"{list(self.signatures)}.",
            )
        return self.signatures[name]

    def run(self, signature: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Answers one request.

        Args:
            signature: The signature's name.
            arrays: Every input by name, in the signature's types and shapes.

        Returns:
            Every output by name; strings as arrays of bytes.

        Raises:
            ServingError: If the arrays are not what the signature takes, or the graph refuses them.
        """
        wanted = self.signature(signature)
        return self.call(wanted, wanted.checked(arrays))

    def call(
        self, signature: Signature, checked: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """`run` for arrays that went through `signature.checked`."""
        try:
            answers = self._callable(signature)(*checked.values())
        except tf.errors.OpError as error:
            code = _CODES.get(error.error_code, "INTERNAL")
            raise ServingError(
                code, f"Signature {signature.name!r} cannot answer that: {_first_line(error)}"
            ) from error
        except UnicodeDecodeError as error:
            # TensorFlow's own message has bytes of the request in it.
            raise invalid(
                f"Signature {signature.name!r} cannot read the bytes that came; expected what it "
                "parses, such as a serialised tf.train.Example or an image file."
            ) from error
        return dict(zip(signature.outputs, answers, strict=True))

    def warm_up(self) -> int:
        """Replays the requests that the export left for this; returns how many there were.

        Raises:
            ServingError: If a request is not answered.
        """
        file = self.path / _WARM_UP
        if not file.is_file():
            return 0
        from tensorflow_serving.apis import prediction_log_pb2

        from keras_mtl.serving._messages import arrays_of

        count = 0
        try:
            for record in tf.data.TFRecordDataset(str(file)).take(_WARM_UP_RECORDS):
                log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
                request = log.predict_log.request
                signature = self.signature(request.model_spec.signature_name)
                self.run(signature.name, arrays_of(request.inputs, signature))
                count += 1
        # A truncated file, or one that holds no such messages.
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise invalid(f"{str(file)!r} cannot be replayed: {_first_line(error)}") from error
        return count

    def close(self) -> None:
        """Gives the model's memory back; nobody may be calling it."""
        self._calls.clear()
        self._session.close()

    def _callable(self, signature: Signature) -> Callable[..., Any]:
        call = self._calls.get(signature.name)
        if call is None:
            # The session takes one change at a time.
            with self._making:
                definition = self.signature_defs[signature.name]
                options = config_pb2.CallableOptions(
                    feed=[definition.inputs[name].name for name in signature.inputs],
                    fetch=[definition.outputs[name].name for name in signature.outputs],
                )
                # The public `make_callable` is slower at every call, by more than what a small model
                # takes; TensorFlow's own Keras makes its calls by this one, too.
                call = self._session._make_callable_from_options(options)
                self._calls[signature.name] = call
        return call


def _load(path: pathlib.Path) -> tuple[Any, Any]:
    try:
        return _session(path)
    except (tf.errors.NotFoundError, ValueError) as error:
        # Tokenisers of language models are operations that TF Serving has built in.
        if "Op type not registered" not in str(error):
            raise
        try:
            import tensorflow_text  # noqa: F401
        except ImportError:
            raise ValueError(
                f'{_first_line(error)}; if they are TensorFlow Text\'s, pip install "keras-mtl[text]"'
            ) from None
        return _session(path)


def _session(path: pathlib.Path) -> tuple[Any, Any]:
    options = tf.compat.v1.ConfigProto()
    # A server beside a training run must not take the whole device.
    options.gpu_options.allow_growth = True
    session = tf.compat.v1.Session(graph=tf.Graph(), config=options)
    try:
        with session.graph.as_default(), _without_advice():
            return session, tf.compat.v1.saved_model.loader.load(session, ["serve"], str(path))
    except BaseException:
        session.close()
        raise


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Leaves TensorFlow's advice to load with `tf.saved_model.load` out of a server's log."""

    def needed(record: logging.LogRecord) -> bool:
        return "deprecated" not in record.getMessage()

    tf.get_logger().addFilter(needed)
    try:
        yield
    finally:
        tf.get_logger().removeFilter(needed)


def _signature(name: str, definition: Any, graph: Any) -> Signature:
    inputs = {key: spec_of(definition.inputs[key]) for key in sorted(definition.inputs)}
    outputs = {key: spec_of(definition.outputs[key]) for key in sorted(definition.outputs)}
    independent = all(
        spec.rows for spec in [*inputs.values(), *outputs.values()]
    ) and independent_rows(graph, [info.name for info in definition.outputs.values()])
    return Signature(name, inputs, outputs, independent)


def _dense(definition: Any) -> bool:
    tensors = [*definition.inputs.values(), *definition.outputs.values()]
    return all(tensor.WhichOneof("encoding") == "name" for tensor in tensors)


def _labels(path: pathlib.Path) -> dict[str, Any]:
    try:
        return dict(json.loads((path / "assets" / "labels.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


def _first_line(error: BaseException) -> str:
    """What is wrong, without the headline before it and the nodes after it."""
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    lines = str(message).removeprefix("Graph execution error:").strip().split("\n")
    return lines[0][:300]


def _codes() -> dict[int, str]:
    """TensorFlow's error numbers, which are gRPC's; out of range is an argument's fault here."""
    names = {name: getattr(tf.errors, name) for name in HTTP_STATUS if name in dir(tf.errors)}
    return {number: name for name, number in names.items()} | {
        tf.errors.OUT_OF_RANGE: "INVALID_ARGUMENT"
    }


_CODES = _codes()
