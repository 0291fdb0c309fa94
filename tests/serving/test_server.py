"""The whole server: both protocols, a new version under load, and an end that cuts nobody off."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl.serving import Server
from tests.serving.saved_models import SONGS, Numbered, Slow, write_version

grpc = pytest.importorskip("grpc")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("prometheus_client")
predict_pb2 = pytest.importorskip("tensorflow_serving.apis.predict_pb2")

from tensorflow_serving.apis import prediction_service_pb2_grpc  # noqa: E402

# Steps that take about a second.
STEPS = 300_000


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Rest:
    """One connection, kept open."""

    def __init__(self, port, model, token=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.path = f"/v1/models/{model}:predict"
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def predict(self, **body):
        self.connection.request("POST", self.path, json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        content = json.loads(answer.read())
        assert answer.status == 200, content
        return content

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


class Rpc:
    """One channel."""

    def __init__(self, port, model, token=None):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model
        self.headers = [("authorization", f"Bearer {token}")] if token else []

    def predict(self, **inputs):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self.model
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self.stub.Predict(request, timeout=60, metadata=self.headers)
        return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


def test_both_protocols_answer_what_the_model_predicts(songs):
    _, folder, expected = songs
    with Server(folder, port=0, grpc_port=0) as server:
        assert server.port and server.grpc_port
        with Rest(server.port, "songs") as rest, Rpc(server.grpc_port, "songs") as rpc:
            rows = rest.predict(instances=SONGS.tolist())["predictions"]
            answers = rpc.predict(tokens=SONGS)
        for name in expected:
            np.testing.assert_allclose([row[name] for row in rows], expected[name], atol=1e-5)
            np.testing.assert_allclose(answers[name], expected[name], atol=1e-5)
        port, grpc_port = server.port, server.grpc_port
    for closed in (port, grpc_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", closed))


def test_a_small_answer_is_not_held_back(songs):
    """Where an answer's last packet waits for a receipt, each takes 40 ms at the least."""
    with Server(songs[1], port=0, grpc_port=0) as server, Rest(server.port, "songs") as rest:
        times = []
        for _ in range(30):
            start = time.perf_counter()
            rest.predict(instances=SONGS.tolist())
            times.append(time.perf_counter() - start)
        assert min(times) < 0.03


def test_no_request_fails_while_a_new_version_replaces_the_old_one(tmp_path):
    """2,000 requests, over both protocols; the old version's files go away as well."""
    write_version(tmp_path, 1, Numbered(100))
    x = np.arange(2, dtype="float32")[None]
    begun = threading.Event()
    swapped = threading.Event()
    counter = iter(range(2000))
    lock = threading.Lock()

    def ask(client):
        answers = []
        while True:
            with lock:
                number = next(counter, None)
            if number is None:
                return answers
            if number == 200:
                begun.set()
            if number == 1000:
                # The rest come when the new version is sure to serve.
                assert swapped.wait(60)
            answers.append((number, client()))

    with Server(tmp_path, name="n", port=0, grpc_port=0, poll=0.02) as server:

        def rest():
            with Rest(server.port, "n") as client:
                return ask(lambda: client.predict(instances=x.tolist())["predictions"])

        def rpc():
            with Rpc(server.grpc_port, "n") as client:
                return ask(lambda: client.predict(x=x)["y"])

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(protocol) for protocol in [rest, rpc] * 4]
            assert begun.wait(60)
            write_version(tmp_path, 2, Numbered(200))
            shutil.rmtree(tmp_path / "1")
            served = {"version": "2", "state": "AVAILABLE", "error": ""}
            until(lambda: served in server.repository.status())
            swapped.set()
            threads = [future.result() for future in futures]
    assert sum(map(len, threads)) == 2000
    kinds = {100: (x + 100).tolist(), 200: (x + 200).tolist()}
    for answers in threads:
        given = [np.asarray(answer).tolist() for _, answer in answers]
        assert all(answer in kinds.values() for answer in given), "of one version or the other"
        first = given.index(kinds[200])
        assert all(answer == kinds[200] for answer in given[first:]), "never back to the old one"
    before = [answer for answers in threads for number, answer in answers if number < 200]
    assert all(np.asarray(answer).tolist() == kinds[100] for answer in before)


def test_stopping_answers_what_is_under_way_and_takes_no_more(tmp_path):
    write_version(tmp_path, 1, Slow())
    server = Server(tmp_path, name="slow", port=0, grpc_port=0).start()
    with (
        Rest(server.port, "slow") as rest,
        Rpc(server.grpc_port, "slow") as rpc,
        concurrent.futures.ThreadPoolExecutor(3) as pool,
    ):
        asked = pool.submit(rest.predict, instances=[STEPS])
        called = pool.submit(rpc.predict, steps=np.array([STEPS + 1], "int32"))
        until(lambda: under_way(server.port) == 2)
        stopping = pool.submit(server.stop)
        assert asked.result() == {"predictions": [STEPS]}
        assert called.result()["counted"].tolist() == [STEPS + 1]
        stopping.result()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    server.stop()


def under_way(port, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read().decode()
    return float(re.search(r"^keras_mtl_requests_under_way (\S+)$", text, re.M)[1])


@pytest.fixture
def serve():
    """Starts `keras-mtl serve` as a process; gives it with its two ports."""
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, "-c", "from keras_mtl.cli import main; main()", "serve"]
            + [str(a) for a in (*arguments, "--port", 0, "--grpc-port", 0)],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
            cwd=pathlib.Path(keras_mtl.__file__).parents[1],
        )
        started.append(process)
        ports = {}
        while "Page" not in ports:
            line = process.stderr.readline()
            assert line, "it ended before it listened"
            if match := re.match(r"(REST|gRPC|Page): .*?:(\d+)(/|$)", line):
                ports[match[1]] = int(match[2])
        return process, ports["REST"], ports["gRPC"]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")
@pytest.mark.parametrize(
    ("number", "token", "options"),
    [(signal.SIGTERM, None, []), (signal.SIGINT, "s3cret", ["--no-batching"])],
)
def test_the_command_ends_with_the_request_under_way_answered(
    tmp_path, serve, number, token, options
):
    write_version(tmp_path, 1, Slow())
    environment = {"KERAS_MTL_TOKEN": token} if token else {}
    process, port, grpc_port = serve(tmp_path, "--name", "slow", *options, **environment)
    if token:
        with Rest(port, "slow") as rest, pytest.raises(AssertionError, match="Bearer TOKEN"):
            rest.predict(instances=[1])
    with (
        Rest(port, "slow", token) as rest,
        Rpc(grpc_port, "slow", token) as rpc,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        asked = pool.submit(rest.predict, instances=[STEPS])
        called = pool.submit(rpc.predict, steps=np.array([STEPS + 1], "int32"))
        until(lambda: under_way(port, token) == 2)
        process.send_signal(number)
        assert asked.result() == {"predictions": [STEPS]}
        assert called.result()["counted"].tolist() == [STEPS + 1]
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors and "Error" not in errors
    assert "Stopping" in errors


def test_faults_of_the_user_are_told_with_the_mend(tmp_path, songs):
    with pytest.raises(ValueError, match="is one version; expected the folder that holds it"):
        Server(songs[1] / "1", port=0, grpc_port=0).start()
    with pytest.raises(ValueError, match="which is no folder"):
        Server(tmp_path / "nowhere", port=0, grpc_port=0).start()
    for token in ("", " ", "a\nb", "ä"):
        with pytest.raises(ValueError, match="`token` is empty or has characters"):
            Server(songs[1], token=token)
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        for ports in ({"port": taken, "grpc_port": 0}, {"port": 0, "grpc_port": taken}):
            server = Server(songs[1], **ports)
            with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{taken}.*another port"):
                server.start()
    assert threading.active_count() == threads, "what was begun is undone"


def test_a_missing_package_is_told_with_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ImportError, match=r'needs uvicorn.*pip install "keras-mtl\[serve\]"'):
        Server(tmp_path)
