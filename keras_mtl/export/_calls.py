"""The calls that a served model answers, written out for people: `CALLS.md`."""

import base64
import json
import pathlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_mtl._extra import extra_module
from keras_mtl.export import _examples, _images
from keras_mtl.export._rows import checked_rows, made_up
from keras_mtl.export._signature_defs import Offered, offered
from keras_mtl.export._signatures import DEFAULT, EXAMPLES, IMAGES, PREPROCESSED
from keras_mtl.export._warm_up import read_warm_up
from keras_mtl.export._written import write_text

_REST, _GRPC = "http://localhost:8501", "localhost:8500"
_PROTOSET, _BODIES = "serving.protoset", "requests"
# What still fits a page; longer bodies are named as the files that they are in.
_SHORT = 1000

_PYTHON = """\
import json
import pathlib

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

inputs = json.loads(pathlib.Path("{file}").read_text(encoding="utf-8"))["inputs"]
request = predict_pb2.PredictRequest()
request.model_spec.name = "{name}"
request.model_spec.signature_name = "serving_default"
for key, dtype in {dtypes}.items():
    request.inputs[key].CopyFrom(tf.make_tensor_proto(inputs[key], dtype))
with grpc.insecure_channel("{address}") as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request, timeout=10)
for task, output in answer.outputs.items():
    print(task, tf.make_ndarray(output))
"""


class Served(NamedTuple):
    """A model that is to be served, and what each of its signatures may be asked."""

    name: str
    signatures: Mapping[str, Offered]
    requests: Mapping[str, Mapping[str, np.ndarray]]

    @classmethod
    def read(cls, name: str, version: pathlib.Path, rows: Any = None) -> "Served":
        """The model in a version folder; `rows` as of `serving_config`, of this model."""
        signatures = offered(version)
        specs = signatures[DEFAULT].inputs
        if rows is None:
            requests = read_warm_up(version)
            rows = {key: requests.get(DEFAULT, {}).get(key) for key in specs}
            if any(value is None for value in rows.values()):
                rows = made_up(specs)
        else:
            requests = {}
            rows = checked_rows(f"rows[{name!r}]", rows, specs)
        asked = {
            key: requests.get(key) or _request(key, signature.inputs, rows, specs)
            for key, signature in signatures.items()
        }
        return cls(name, signatures, asked)

    @property
    def of_free_length(self) -> bool:
        """Whether rows of one request may be longer than those of another."""
        specs = self.signatures[DEFAULT].inputs.values()
        return any(None in tuple(spec.shape[1:]) for spec in specs)


def write_calls(
    out: pathlib.Path, served: Sequence[Served], *, metrics: str | None, joined: bool
) -> None:
    """Writes `CALLS.md`, the bodies that it names, and what grpcurl must know.

    Args:
        out: The folder, which is there.
        served: The models.
        metrics: The path of the metrics, if there are any.
        joined: Whether the server joins requests.
    """
    (out / _PROTOSET).write_bytes(_protoset())
    lines = [
        "# Calls",
        "",
        "`docker compose up` in this folder starts TF Serving, which answers the calls below; they "
        "are made in this folder too.",
    ]
    if metrics:
        lines += ["", "Metrics for Prometheus:", "", *_shell(f"curl {_REST}{metrics}")]
    for model in served:
        lines += ["", f"## {model.name}", "", *_of_model(out, model, joined)]
    write_text(out / "CALLS.md", "\n".join(lines) + "\n")


def _of_model(out: pathlib.Path, model: Served, joined: bool) -> Iterator[str]:
    address = f"{_REST}/v1/models/{model.name}"
    yield "Its state, and what it takes and gives:"
    yield from ("", *_shell(f"curl {address}", f"curl {address}/metadata"))
    if model.of_free_length:
        yield ""
        yield _of_lengths(model, joined)
    # A task's name begins with a letter, so that no signature's file has one of ours.
    folder = pathlib.PurePosixPath(_BODIES, model.name)
    (out / folder).mkdir(parents=True, exist_ok=True)
    for key, request in model.requests.items():
        rows = [dict(zip(request, row, strict=True)) for row in _rows(request)]
        body = {"signature_name": key, "instances": rows}
        yield from ("", f"`{key}`, row by row:", "")
        yield from _curl(out, address, folder / f"{key}.json", body)
    columns = {key: _plain(value) for key, value in model.requests[DEFAULT].items()}
    yield from ("", f"`{DEFAULT}`, input by input:", "")
    file = folder / "_columns.json"
    yield from _curl(out, address, file, {"signature_name": DEFAULT, "inputs": columns})
    yield from ("", "By gRPC, with [grpcurl](https://github.com/fullstorydev/grpcurl):", "")
    yield from _grpcurl(out, model, folder / "_grpc.json")
    yield from ("", 'By gRPC, in Python with `pip install "keras-mtl[serve]"`:', "", "```python")
    dtypes = {key: spec.dtype.name for key, spec in model.signatures[DEFAULT].inputs.items()}
    yield _PYTHON.format(file=file, name=model.name, dtypes=dtypes, address=_GRPC).rstrip()
    yield "```"


def _of_lengths(model: Served, joined: bool) -> str:
    told = (
        'The rows of one request are padded to one length, text with "", and come back padded: cut '
        "each answer to its own length."
    )
    if joined:
        told += " This server joins requests, and refuses those that it joined and that differ in "
        told += "length: send all rows in one length"
        told += f", or tf.Examples to `{EXAMPLES}`." if EXAMPLES in model.signatures else "."
    return told


def _curl(
    out: pathlib.Path, address: str, file: pathlib.PurePosixPath, body: Mapping[str, Any]
) -> list[str]:
    text = json.dumps(body, ensure_ascii=False)
    write_text(out / file, text + "\n")
    data = text if len(text) <= _SHORT else f"@{file}"
    return _shell(f"curl {address}:predict -d {shlex.quote(data)}")


def _grpcurl(out: pathlib.Path, model: Served, file: pathlib.PurePosixPath) -> list[str]:
    request = extra_module(
        "tensorflow_serving.apis.predict_pb2", "serve", "A request"
    ).PredictRequest()
    request.model_spec.name = model.name
    request.model_spec.signature_name = DEFAULT
    for key, value in model.requests[DEFAULT].items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    from google.protobuf import json_format

    text = json_format.MessageToJson(request, preserving_proto_field_name=True, indent=None)
    write_text(out / file, text + "\n")
    given = f"-d {shlex.quote(text)} " if len(text) <= _SHORT else "-d @ "
    end = "" if len(text) <= _SHORT else f" < {file}"
    service = "tensorflow.serving.PredictionService/Predict"
    return _shell(f"grpcurl -plaintext -protoset {_PROTOSET} {given}{_GRPC} {service}{end}")


def _shell(*commands: str) -> list[str]:
    return ["```sh", *commands, "```"]


def _request(
    signature: str,
    wanted: Mapping[str, tf.TensorSpec],
    rows: Mapping[str, np.ndarray],
    specs: Mapping[str, tf.TensorSpec],
) -> dict[str, np.ndarray]:
    """What a signature may be asked, for rows of the inputs of `serving_default`."""
    if signature == EXAMPLES:
        return {_examples.INPUT: _examples.serialized(rows, specs)}
    request = {}
    for name, spec in wanted.items():
        # What preprocessing makes of numbers a SavedModel does not tell, also where they stay numbers.
        raw = signature != PREPROCESSED or spec.dtype == tf.string
        if raw and specs.get(name) == spec:
            request[name] = rows[name]
        elif signature == IMAGES and name in specs:
            # What its numbers mean is not told by a SavedModel: a black one.
            black = made_up({name: tf.TensorSpec(specs[name].shape, tf.uint8)})[name]
            request[name] = np.repeat(_images.encoded(black, None), len(rows[name]))
        else:
            count = len(next(iter(rows.values())))
            request[name] = np.repeat(made_up({name: spec})[name], count, axis=0)
    return request


def _rows(request: Mapping[str, np.ndarray]) -> Iterator[tuple[Any, ...]]:
    return zip(*(_plain(value) for value in request.values()), strict=True)


def _plain(value: Any) -> Any:
    """Arrays as JSON has them; what is no text as base64, as TF Serving reads it."""
    if isinstance(value, (np.ndarray, list)):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            text = "\0"
        # Of control characters there are none in a text.
        if text.isprintable():
            return text
        return {"b64": base64.b64encode(value).decode()}
    return value.item() if isinstance(value, np.generic) else value


def _protoset() -> bytes:
    """The services' description with all that it refers to, each file after those that it reads."""
    from google.protobuf import descriptor_pb2

    found = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        if file.name in seen:
            return
        seen.add(file.name)
        for needed in file.dependencies:
            add(needed)
        file.CopyToProto(found.file.add())

    for module in ("prediction_service_pb2", "model_service_pb2"):
        add(
            extra_module(
                f"tensorflow_serving.apis.{module}", "serve", "What grpcurl must know"
            ).DESCRIPTOR
        )
    return found.SerializeToString()
