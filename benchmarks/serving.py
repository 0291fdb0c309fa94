"""What serving costs over calling the model, what batching gains, and what a warm-up spares.

A model is exported and served by two processes of `keras-mtl serve`, one that batches and one that
does not. Clients, each with a connection of its own, send one row, wait for the answer and send the
next; they are threads in two processes, which import no TensorFlow and send requests that were
serialised beforehand. The bare loop is `tf.saved_model.load` in this process, arrays in and arrays
out. All of them are measured in turn, round by round, so that a machine whose speed drifts cannot
favour one, and what is printed is the median of the rounds; servers and clients share the machine,
so its cores bound what many clients can get. Models:

- text: that of examples/intent_and_slots.py (a bidirectional LSTM over words and their spelling, an
  intent, and tags by a conditional random field), with sentences of 10 words;
- lengths: the same with sentences of 5 to 14 words, of which only those of one length can share a call;
- digits: two tasks on images of 12 x 12, a call of which takes less than a request's way here.

Run: pip install "keras-mtl[serve]"; python benchmarks/serving.py
"""

import argparse
import contextlib
import json
import os
import pathlib
import pickle
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

import keras_mtl
from keras_mtl import encoders, export, serving, tasks

Arrays = dict[str, np.ndarray]
PATHS = {
    "grpc": "/tensorflow.serving.PredictionService/Predict",
    "rest": "/v1/models/model:predict",
}
PROCESSES = 2


class Served(NamedTuple):
    """A server that runs: its process, and the port of each protocol."""

    process: subprocess.Popen
    ports: dict[str, int]


class Timing(NamedTuple):
    """Requests a second of all clients, and how long single ones took, in milliseconds."""

    rate: float
    p50: float
    p99: float

    @classmethod
    def of(cls, taken: list[float], seconds: float) -> "Timing":
        p50, p99 = np.percentile(taken, [50, 99])
        return cls(len(taken) / seconds, 1000 * p50, 1000 * p99)


def text_model() -> keras_mtl.MultiTaskModel:
    return keras_mtl.build_model(
        encoders.Text(
            [f"word{i}" for i in range(11000)], "bilstm", units=384, embedding=200, characters=150
        ),
        [
            tasks.MultiClass("intent", [f"intent{i}" for i in range(7)]),
            tasks.SequenceTagging("slots", ["O", *(f"B-{i}" for i in range(71))], decoder="crf"),
        ],
    )


def digits_model() -> keras_mtl.MultiTaskModel:
    encoder = encoders.Image((12, 12, 1), filters=(16, 32), units=64)
    return keras_mtl.build_model(encoder, [tasks.MultiClass(n, 10) for n in ("left", "right")])


def rows(name: str) -> list[Arrays]:
    """Different single rows to ask for, in the order in which clients ask."""
    rng = np.random.default_rng(0)
    if name == "digits":
        return [{"image": rng.random((1, 12, 12, 1), "float32")} for _ in range(50)]
    lengths = rng.integers(5, 15, 50) if name == "lengths" else np.full(50, 10)
    return [
        {"tokens": np.array([[f"word{i}" for i in rng.integers(0, 12000, n)]])} for n in lengths
    ]


def serialised(asked: list[Arrays], protocol: str) -> list[bytes]:
    if protocol == "rest":
        return [
            json.dumps({"inputs": {k: v.tolist() for k, v in x.items()}}).encode() for x in asked
        ]
    requests = []
    for inputs in asked:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "model"
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        requests.append(request.SerializeToString())
    return requests


@contextlib.contextmanager
def served(folder: pathlib.Path, *options: str) -> Iterator[Served]:
    """`keras-mtl serve` as a process, on free ports."""
    command = [sys.executable, "-c", "from keras_mtl.cli import main; main()", "serve", str(folder)]
    process = subprocess.Popen(
        [*command, "--name", "model", "--port", "0", "--grpc-port", "0", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ports: dict[str, int] = {}
        while len(ports) < 2:
            line = process.stderr.readline()
            if not line:
                raise SystemExit("keras-mtl serve ended before it listened.")
            for protocol, port in re.findall(r"^(REST|gRPC): .*?:(\d+)(?:/|$)", line):
                ports[protocol.lower()] = int(port)
        yield Served(process, ports)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def bare(call, asked: list[Arrays], seconds: float) -> Timing:
    """The loaded model in a loop, without a server."""
    taken: list[float] = []
    ends = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < ends:
        inputs = asked[len(taken) % len(asked)]
        answers = call(**{name: tf.constant(value) for name, value in inputs.items()})
        _ = {name: value.numpy() for name, value in answers.items()}
        taken.append(time.perf_counter() - begun)
    return Timing.of(taken, seconds)


def loaded(server: Served, protocol: str, clients: int, seconds: float, requests: str) -> Timing:
    """What so many clients get of a server."""
    shares = [len(range(i, clients, PROCESSES)) for i in range(PROCESSES)]
    script = str(pathlib.Path(__file__).with_name("serving_load.py"))
    common = [sys.executable, script, protocol, str(server.ports[protocol]), PATHS[protocol]]
    processes = [
        subprocess.Popen(
            [*common, str(share), str(seconds), requests],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for share in shares
        if share
    ]
    for process in processes:
        if process.stdout.readline() != "ready\n":
            raise SystemExit("A client failed.")
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    taken = [t for process in processes for t in json.loads(process.communicate()[0])]
    return Timing.of(taken, seconds)


def first_request(folder: pathlib.Path, body: bytes) -> tuple[float, float]:
    """Milliseconds of the first request that a server gets, and of the fiftieth."""
    from grpc import insecure_channel

    with served(folder) as server, insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        import grpc

        grpc.channel_ready_future(channel).result(timeout=60)
        method, taken = channel.unary_unary(PATHS["grpc"]), []
        for _ in range(50):
            begun = time.perf_counter()
            method(body, timeout=60)
            taken.append(1000 * (time.perf_counter() - begun))
    return taken[0], statistics.median(taken[40:])


def check(server: Served, call, asked: Arrays) -> None:
    """That what is timed is the answer that the model gives."""
    with serving.Client(f"grpc://127.0.0.1:{server.ports['grpc']}") as client:
        found = client.predict(asked)
    expected = call(**{name: tf.constant(value) for name, value in asked.items()})
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), atol=1e-5)


def middle(rounds: list[Timing]) -> Timing:
    return Timing(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def measure(name: str, folder: pathlib.Path, arguments: argparse.Namespace) -> None:
    version = export.saved_model(digits_model() if name == "digits" else text_model(), folder)
    call = tf.saved_model.load(str(version)).signatures["serving_default"]
    asked = rows(name)
    requests = {}
    for protocol in PATHS:
        requests[protocol] = str(folder / f"{protocol}.pickle")
        with open(requests[protocol], "wb") as file:
            pickle.dump(serialised(asked, protocol), file)
    found: dict[tuple, list[Timing]] = {}
    with served(folder) as batching, served(folder, "--no-batching") as single:
        check(batching, call, asked[0])
        bare(call, asked, 1.0)
        for _ in range(arguments.rounds):
            found.setdefault(("bare",), []).append(bare(call, asked, arguments.seconds))
            for protocol in PATHS:
                for clients in arguments.clients:
                    for batched, server in ((True, batching), (False, single)):
                        timing = loaded(
                            server, protocol, clients, arguments.seconds, requests[protocol]
                        )
                        found.setdefault((protocol, clients, batched), []).append(timing)
    show(name, found, arguments)


def show(name: str, found: dict[tuple, list[Timing]], arguments: argparse.Namespace) -> None:
    base = middle(found["bare",])
    print(f"\n{name}: the bare loop answers {base.rate:.0f} a second, p50 {base.p50:.2f} ms, p99 "
          f"{base.p99:.2f} ms")  # fmt: skip
    print(
        f"{'':6} {'clients':>7}  {'batching: /s':>12} {'p50 ms':>7} {'p99 ms':>7}  "
        f"{'without: /s':>12} {'p50 ms':>7} {'p99 ms':>7}  {'gain':>5}  {'over bare':>9}"
    )
    for protocol in PATHS:
        for clients in arguments.clients:
            pair = [found[protocol, clients, batched] for batched in (True, False)]
            cells = "  ".join(
                f"{t.rate:12.0f} {t.p50:7.2f} {t.p99:7.2f}" for t in map(middle, pair)
            )
            gain = statistics.median(a.rate / b.rate for a, b in zip(*pair, strict=True))
            over = statistics.median(
                a.p50 / b.p50 for a, b in zip(pair[0], found["bare",], strict=True)
            )
            print(f"{protocol:6} {clients:7}  {cells}  {gain:5.2f}  {over:9.2f}", flush=True)


def warm_ups(name: str, folder: pathlib.Path, starts: int) -> None:
    """The first request of servers that have just started, with a warm-up in the version or not."""
    model, asked = digits_model() if name == "digits" else text_model(), rows(name)[0]
    for told, warm_up in (("without", None), ("with", asked)):
        export.saved_model(model, folder / told, warm_up=warm_up)
    taken: dict[str, list[tuple[float, float]]] = {"without": [], "with": []}
    for _ in range(starts):
        for told, times in taken.items():
            times.append(first_request(folder / told, serialised([asked], "grpc")[0]))
    for told, times in taken.items():
        first, later = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"first request {told:7} a warm-up: {first:7.1f} ms; later ones {later:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ["text", "lengths", "digits"]
    parser.add_argument("--models", nargs="+", choices=known, default=known)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=3, help="of a server, for its first request")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    print(f"{os.cpu_count()} processors; medians of {arguments.rounds} rounds")
    print("gain: requests a second with batching over without")
    print("over bare: p50 with batching over that of the bare loop")
    for name in arguments.models:
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch)
            measure(name, folder / "model", arguments)
            if arguments.starts and name != "lengths":
                warm_ups(name, folder, arguments.starts)


if __name__ == "__main__":
    main()
