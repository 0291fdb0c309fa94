"""The calls that CALLS.md tells, sent to a server as they are written."""

import json
import pathlib
import shlex
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from tensorflow.core.framework import tensor_pb2

from keras_mtl import export


def blocks(out: pathlib.Path, model: str, kind: str) -> list[str]:
    """The code blocks under a model's heading."""
    section = (out / "CALLS.md").read_text(encoding="utf-8").split(f"\n## {model}\n")[1]
    section = section.split("\n## ")[0]
    return [part.split("\n```")[0] for part in section.split(f"```{kind}\n")[1:]]


def curl(command: str, out: pathlib.Path, port: int):
    """What curl would get, its words split as a shell splits them."""
    words = shlex.split(command)
    assert words[0] == "curl" and words[1].startswith("http://localhost:8501/")
    data = None
    if words[2:]:
        flag, data = words[2:]
        assert flag == "-d"
        if data.startswith("@"):
            data = (out / data[1:]).read_text(encoding="utf-8").rstrip("\n")
    url = words[1].replace("localhost:8501", f"127.0.0.1:{port}")
    asked = urllib.request.Request(url, data.encode() if data else None)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.loads(data) if data else None, json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{command}: {error.code} {error.read()!r}") from None


def inputs_of(name: str) -> dict[str, np.ndarray]:
    """The rows that the calls are made with."""
    if name == "songs":
        return {"tokens": np.array([["play", "it's"], ["jazz", ""]])}
    return {"image": np.zeros((1, 12, 12, 1), "float32"), "weight-kg": np.zeros(1, "float32")}


@pytest.fixture(scope="module", params=["songs", "digits-2.0"])
def called(request, served_models, serving_folder, text_model, picture_model):
    """The name of a model, a server of it, and what its model says of the example rows."""
    for module in ("fastapi", "uvicorn", "grpc", "prometheus_client"):
        pytest.importorskip(module)
    from keras_mtl.serving import Server

    model = text_model if request.param == "songs" else picture_model
    rows = {k: tf.constant(v) for k, v in inputs_of(request.param).items()}
    expected = {k: np.asarray(v) for k, v in model.predict(rows, verbose=0).items()}
    with Server(served_models / request.param, port=0, grpc_port=0) as server:
        yield request.param, server, expected


def test_the_curl_calls_are_answered_as_the_model_answers(called, serving_folder):
    name, server, expected = called
    commands = [c for block in blocks(serving_folder, name, "sh") for c in block.splitlines()]
    asked = [c for c in commands if c.startswith("curl ")]
    for command in asked[:2]:
        curl(command, serving_folder, server.port)
    if name == "digits-2.0":
        assert any("-d @requests/digits-2.0/" in c for c in asked), "long bodies are in files"
    signatures = set()
    for command in asked[2:]:
        body, answer = curl(command, serving_folder, server.port)
        signature = body["signature_name"]
        signatures.add((signature, "inputs" if "inputs" in body else "instances"))
        if signature == "serving_labels":
            continue
        wanted = [signature] if signature in expected else list(expected)
        for task in wanted:
            found = answer["outputs" if "inputs" in body else "predictions"]
            # With one output its name is left out.
            if "instances" in body and isinstance(found[0], dict):
                found = [row[task] for row in found]
            elif isinstance(found, dict):
                found = found[task]
            np.testing.assert_allclose(found, expected[task], atol=1e-5, err_msg=command)
    of_all = {
        "songs": {"kind", "tags", "serving_labels", "serving_examples"},
        "digits-2.0": {"columns", "serving_images", "serving_examples"},
    }[name]
    assert signatures == {
        ("serving_default", "inputs"),
        *((signature, "instances") for signature in of_all | {"serving_default"}),
    }


def test_the_python_call_is_answered_as_the_model_answers(called, serving_folder):
    name, server, expected = called
    (code,) = blocks(serving_folder, name, "python")
    assert code.count('"localhost:8500"') == 1
    code = code.replace("localhost:8500", f"127.0.0.1:{server.grpc_port}")
    code = code.replace(
        "print(task, tf.make_ndarray(output))", "found[task] = tf.make_ndarray(output)"
    )
    script = f"found = {{}}\n{code}\n" + (
        "print(json.dumps({task: output.tolist() for task, output in found.items()}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=serving_folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert set(found) == set(expected)
    for task, answer in found.items():
        np.testing.assert_allclose(answer, expected[task], atol=1e-5)


def test_the_grpcurl_call_is_answered_by_what_the_protoset_tells(called, serving_folder):
    """As grpcurl does: nothing is known of the service but the protoset."""
    import grpc

    name, server, expected = called
    commands = [c for block in blocks(serving_folder, name, "sh") for c in block.splitlines()]
    (command,) = [c for c in commands if c.startswith("grpcurl ")]
    words = shlex.split(command)
    data = words[words.index("-d") + 1]
    if data == "@":
        assert words[-2] == "<"
        data = (serving_folder / words.pop()).read_text(encoding="utf-8")
        words.pop()
    assert words[-2] == "localhost:8500"
    service, method = words[-1].split("/")
    described = descriptor_pb2.FileDescriptorSet.FromString(
        (serving_folder / words[words.index("-protoset") + 1]).read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in described.file:
        pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindServiceByName(service).FindMethodByName(method)
    request = message_factory.GetMessageClass(found.input_type)()
    json_format.Parse(data, request)
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answer = channel.unary_unary(
            f"/{service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )(request, timeout=60)
    assert set(answer.outputs) == set(expected)
    for task, output in answer.outputs.items():
        plain = tf.make_ndarray(tensor_pb2.TensorProto.FromString(output.SerializeToString()))
        np.testing.assert_allclose(plain, expected[task], atol=1e-5)


def test_rows_of_ones_own_are_in_the_calls(served_models, tmp_path):
    rows = {"songs": {"tokens": [["play", "jazz", "\u00e9t\u00e9"], ["it's"]]}}
    out = export.serving_config(served_models, tmp_path, rows=rows)
    body = json.loads((out / "requests" / "songs" / "serving_default.json").read_text("utf-8"))
    assert body["instances"] == [
        {"tokens": ["play", "jazz", "\u00e9t\u00e9"]},
        {"tokens": ["it's", "", ""]},
    ]
    with pytest.raises(ValueError, match=r"`rows` names the models \['song'\]"):
        export.serving_config(served_models, tmp_path, rows={"song": rows["songs"]})
    with pytest.raises(ValueError, match=r"`rows\['songs'\]` came with \['text'\]"):
        export.serving_config(served_models, tmp_path, rows={"songs": {"text": ["a"]}})
