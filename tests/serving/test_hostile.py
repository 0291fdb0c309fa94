"""Requests that nobody should send are refused in TF Serving's form, and the server lives on."""

import asyncio
import collections
import gc
import json
import pathlib
import random
import resource
import socket
import urllib.parse

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("fastapi", reason='pip install "keras-mtl[serve]"')
pytest.importorskip("tensorflow_serving", reason='pip install "keras-mtl[serve]"')

import grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from keras_mtl.serving import Client, Server
from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._repository import Repository
from keras_mtl.serving.rest import rest_app
from tests.serving import hostile, saved_models

MEGABYTE = 2**20
REQUESTS = 10_000


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "types"
    folder.mkdir()
    saved_models.write_version(folder, 1, saved_models.Types())
    return folder


@pytest.fixture(scope="module")
def apps(songs, types):
    """The REST applications of two models, by name."""
    repositories = [Repository(songs[1]), Repository(types)]
    yield {one.name: rest_app(one, Batcher()) for one in repositories}
    for one in repositories:
        one.close()


async def ask(app, request, cut_off=False):
    """Status and body, as a web server would have them from the application."""
    path, _, query = request.path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": urllib.parse.quote(path).encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": request.headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8501),
    }
    incoming = [
        {"type": "http.request", "body": chunk, "more_body": cut_off or i + 1 < len(request.chunks)}
        for i, chunk in enumerate(request.chunks)
    ]
    sent = []

    async def receive():
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], body


def model_of(path):
    return "types" if path.startswith("/v1/models/types") else "songs"


def assert_decent(request, status, body):
    """An answer, or a refusal of the client's fault in one sentence of bounded length."""
    assert status == 200 or 400 <= status < 500, (status, body[:300], request)
    if status != 200:
        told = json.loads(body)
        assert list(told) == ["error"] and isinstance(told["error"], str) and told["error"], request
        assert len(body) < 4000, (len(body), request.kind)
    elif request.path.endswith(":predict"):
        assert list(json.loads(body)) in (["predictions"], ["outputs"]), request


def memory():
    """What this process holds now, in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def assert_good_one_is_answered(apps, songs):
    path, body = hostile.SONG
    good = hostile.Request("good", "POST", path, [], [json.dumps(body).encode()])
    status, answer = asyncio.run(ask(apps["songs"], good))
    assert status == 200
    expected = saved_models.predicted(songs[0], np.array(body["instances"]))
    found = [row["genre"] for row in json.loads(answer)["predictions"]]
    np.testing.assert_allclose(found, expected["genre"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="reads /proc")
def test_ten_thousand_generated_requests(apps, songs):
    statuses = collections.defaultdict(collections.Counter)
    held = []

    async def all_of_them():
        for i, request in enumerate(hostile.requests(REQUESTS, seed=5)):
            status, body = await ask(apps[model_of(request.path)], request)
            assert_decent(request, status, body)
            statuses[request.kind][status] += 1
            if i % 2000 == 1999:
                gc.collect()
                held.append(memory())

    asyncio.run(all_of_them())
    assert_good_one_is_answered(apps, songs)
    assert sum(sum(of.values()) for of in statuses.values()) == REQUESTS
    for kind, of in statuses.items():
        assert of[400] + of[404] + of[405] > 300, (kind, of)
    # What leaks grows with every thousand; what is only kept for reuse does not.
    assert held[-1] - held[1] < 60 * MEGABYTE, [size // MEGABYTE for size in held]


@pytest.mark.slow
def test_huge_bodies_take_bounded_memory(apps, songs):
    million = 10**6
    bodies = [
        b'{"inputs": {"tokens": [' + b'["a"],' * (2 * million) + b'["a"]]}}',
        b'{"inputs": [' + b"0.25," * (5 * million) + b"1]}",
        b"[" * (20 * million),
        b'{"inputs": ' + b'{"a":' * (3 * million),
        b'{"inputs": {"tokens": [["' + b"x" * (30 * million) + b'"]]}}',
        b'{"' + b"k" * (30 * million) + b'": 1, "inputs": {"' + b"k" * million + b'": 1}}',
        b'{"inputs": ' + b"9" * (30 * million) + b"}",
        b'{"instances": [' + b'{"tokens": []},' * million + b"{}]}",
        b" " * (33 * MEGABYTE),
        b"\x00" * (40 * MEGABYTE),
    ]
    before = peak()
    for body in bodies:
        size = MEGABYTE // 4
        chunks = [body[at : at + size] for at in range(0, len(body), size)]
        request = hostile.Request("huge", "POST", hostile.SONG[0], [], chunks)
        status, answer = asyncio.run(ask(apps["songs"], request))
        assert_decent(
            request._replace(chunks=[]), status, answer if status != 200 else b'{"outputs": 0}'
        )
        assert (status == 413) == (len(body) > 32 * MEGABYTE)
    assert peak() - before < 700 * MEGABYTE, (peak() - before) // MEGABYTE
    assert_good_one_is_answered(apps, songs)


def test_a_body_that_breaks_off_is_no_fault_of_the_server(apps, songs):
    path, body = hostile.SONG
    for cut in (0, 1, 20):
        chunks = [json.dumps(body).encode()[:cut]]
        request = hostile.Request("cut", "POST", path, [], chunks)
        status, answer = asyncio.run(ask(apps["songs"], request, cut_off=True))
        assert_decent(request, status, answer)
        assert status == 400
    assert_good_one_is_answered(apps, songs)


def test_broken_http_over_a_socket_leaves_the_server_alive(songs):
    rng = random.Random(6)
    good = (
        b"POST /v1/models/songs:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 24\r\n\r\n"
        + b"x" * 24
    )
    with Server(songs[1], port=0, grpc_port=0) as server:
        for i in range(60):
            broken = bytearray(good)
            for _ in range(rng.randrange(1, 4)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            port = server.grpc_port if i % 6 == 5 else server.port
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(broken[: rng.randrange(1, len(broken))])
        with Client(f"http://127.0.0.1:{server.port}", model="songs") as client:
            answers = client.predict(saved_models.SONGS)
        np.testing.assert_allclose(answers["genre"], songs[2]["genre"], atol=1e-6)
        with Client(f"grpc://127.0.0.1:{server.grpc_port}", model="songs") as client:
            answers = client.predict(saved_models.SONGS)
        np.testing.assert_allclose(answers["genre"], songs[2]["genre"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_schemathesis_finds_nothing_against_the_servers_own_schema(apps, songs):
    schemathesis = pytest.importorskip("schemathesis")
    import hypothesis

    schema = schemathesis.openapi.from_asgi("/openapi.json", apps["songs"])
    asked = collections.Counter()

    def check(operation):
        @hypothesis.settings(
            max_examples=60,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def holds(case):
            if case.path_parameters and len(str(case.path_parameters)) % 2:
                # Names by chance alone would never reach a model.
                case.path_parameters.update(
                    {key: {"name": "songs", "version": 1}[key] for key in case.path_parameters}
                )
            response = case.call()
            asked[operation.label] += 1
            assert response.status_code < 500
            case.validate_response(response, checks=[
                schemathesis.checks.not_a_server_error,
                schemathesis.checks.content_type_conformance,
                schemathesis.checks.response_schema_conformance,
            ])  # fmt: skip

        holds()

    for found in schema.get_all_operations():
        check(found.ok())
    assert len(asked) >= 8, asked
    assert_good_one_is_answered(apps, songs)


# gRPC.

REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
DTYPES = [1, 2, 3, 4, 6, 7, 8, 9, 10, 14, 19, 20, 21, 22, 23, 101, 0, 99, 2**31 - 1]
SIZES = [-(2**63), -2, -1, 0, 1, 2, 3, 2**31, 2**40, 2**63 - 1]


def bad_tensor(rng):
    """A tensor that says one thing of itself and holds another."""
    tensor = tensor_pb2.TensorProto(dtype=rng.choice(DTYPES))
    for _ in range(rng.choice([0, 1, 1, 2, 3, 10, 300])):
        tensor.tensor_shape.dim.add(size=rng.choice(SIZES))
    tensor.tensor_shape.unknown_rank = rng.random() < 0.05
    many = rng.choice([0, 1, 2, 3, 100])
    way = rng.randrange(8)
    if way == 0:
        tensor.tensor_content = rng.randbytes(many)
    elif way == 1:
        tensor.float_val.extend([float("nan")] * many)
    elif way == 2:
        tensor.string_val.extend([b"\xff"] * many)
    elif way == 3:
        tensor.int_val.extend([2**31 - 1] * many)
    elif way == 4:
        tensor.int64_val.extend([-(2**63)] * many)
    elif way == 5:
        tensor.bool_val.extend([True] * many)
    elif way == 6:
        tensor.tensor_content = rng.randbytes(many)
        tensor.string_val.extend([b"a"] * many)
    return tensor


def good_request(name):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    good = hostile.GOOD[3][1]["inputs"] if name == "types" else {"tokens": saved_models.SONGS}
    wanted = {"number": np.float32, "small": np.int8, "large": np.int64, "flag": bool}
    for key, value in good.items():
        array = np.array(value, wanted.get(key))
        request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
    return request


def bad_request(rng, name):
    request = good_request(name)
    keys = sorted(request.inputs)
    way = rng.randrange(8)
    if way <= 3:
        request.inputs[rng.choice(keys)].CopyFrom(bad_tensor(rng))
    elif way == 4:
        del request.inputs[rng.choice(keys)]
    elif way == 5:
        request.inputs[rng.choice(["", "x", "k" * 50_000])].CopyFrom(bad_tensor(rng))
    elif way == 6:
        request.model_spec.version.value = rng.choice([-1, 0, 2, 2**63 - 1])
        request.model_spec.signature_name = rng.choice(
            ["", "x", "s" * 50_000, "__saved_model_init_op"]
        )
    else:
        request.output_filter.extend(rng.choice([["x"], ["number"] * 2, ["k" * 50_000], [""]]))
    return request


@pytest.mark.parametrize("name", ["songs", "types"])
def test_tensors_that_lie_are_invalid_arguments(songs, types, name):
    rng = random.Random(7)
    codes = collections.Counter()
    folder = {"songs": songs[1], "types": types}[name]
    with Server(folder, port=0, grpc_port=0) as server:
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            before = peak()
            for _ in range(1000):
                request = bad_request(rng, name)
                call = stub.Predict.future(request, timeout=30)
                code, details = call.code(), call.details()
                codes[code] += 1
                if code != grpc.StatusCode.OK:
                    assert code in REFUSALS, (code, details, str(request)[:2000])
                    assert 0 < len(details) < 4000
            # Bytes that are no message at all never reach us; they must not end the server either.
            raw = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
            for _ in range(50):
                with pytest.raises(grpc.RpcError):
                    raw(rng.randbytes(rng.randrange(1, 200)) + b"\xff", timeout=30)
            answer = stub.Predict(good_request(name), timeout=30)
        assert (
            set(answer.outputs)
            == {"songs": {"genre", "slots"}, "types": set(hostile.GOOD[3][1]["inputs"])}[name]
        )
        assert codes[grpc.StatusCode.INVALID_ARGUMENT] > 500, codes
        assert peak() - before < 600 * MEGABYTE
