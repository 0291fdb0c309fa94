"""A process of clients that each send a request, wait for the answer, and send the next one.

It is started by serving.py and imports no TensorFlow: requests come serialised, answers are not
read, so that what is timed is the server. It says "ready" when every client has been answered once,
waits for a line, and prints how long each request took.

Run: python benchmarks/serving_load.py PROTOCOL PORT PATH CLIENTS SECONDS REQUESTS
"""

import http.client
import json
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable


def rest(port: int, path: str) -> Callable[[bytes], None]:
    """A connection of its own, kept open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {"Content-Type": "application/json"}

    def call(body: bytes) -> None:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{response.status}: {answer[:300]!r}")

    return call


def grpc(port: int, path: str) -> Callable[[bytes], None]:
    """A channel of its own: by default gRPC would send all of a process through one connection."""
    from grpc import insecure_channel

    channel = insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
    method = channel.unary_unary(path)

    def call(body: bytes) -> None:
        method(body, timeout=60)

    return call


def main() -> None:
    protocol, port, path, clients, seconds, requests = sys.argv[1:]
    with open(requests, "rb") as file:
        bodies = pickle.load(file)
    taken: list[list[float]] = [[] for _ in range(int(clients))]
    failed: list[Exception] = []
    ready, go = threading.Barrier(int(clients) + 1), threading.Event()

    def client(number: int) -> None:
        try:
            call = {"rest": rest, "grpc": grpc}[protocol](int(port), path)
            call(bodies[number % len(bodies)])
            ready.wait()
            go.wait()
            ends = time.perf_counter() + float(seconds)
            turn = number
            while (begun := time.perf_counter()) < ends:
                call(bodies[turn % len(bodies)])
                taken[number].append(time.perf_counter() - begun)
                turn += 1
        except Exception as error:
            failed.append(error)
            ready.abort()
            raise

    threads = [threading.Thread(target=client, args=(n,)) for n in range(int(clients))]
    for thread in threads:
        thread.start()
    ready.wait()
    print("ready", flush=True)
    sys.stdin.readline()
    go.set()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    print(json.dumps([time for times in taken for time in times]))


if __name__ == "__main__":
    main()
