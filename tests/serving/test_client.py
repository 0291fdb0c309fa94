"""One client for both protocols, of this server and of others."""

import contextlib
import socket
import sys
import threading
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason='pip install "keras-mtl[serve]"')
pytest.importorskip("tensorflow_serving", reason='pip install "keras-mtl[serve]"')

from keras_mtl.serving import (
    BadRequest,
    Client,
    DeadlineExceeded,
    NotFound,
    Server,
    ServingError,
    Unauthenticated,
    Unavailable,
)
from keras_mtl.serving import client as client_file
from tests.serving import saved_models, stubs
from tests.serving.saved_models import GENRES, SONGS, TAGS

PROTOCOLS = ["rest", "grpc"]


def url(server, protocol):
    if protocol == "rest":
        return f"http://127.0.0.1:{server.port}"
    return f"grpc://127.0.0.1:{server.grpc_port}"


@pytest.fixture(scope="module")
def server(songs):
    with Server(songs[1], port=0, grpc_port=0) as server:
        yield server


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def client(server, protocol):
    with Client(url(server, protocol), model="songs") as client:
        yield client


@contextlib.contextmanager
def served(folder, module, protocol, **options):
    """A module of `saved_models` and a client of it."""
    folder.mkdir()
    saved_models.write_version(folder, 1, module)
    with (
        Server(folder, port=0, grpc_port=0, poll=0.02) as server,
        Client(url(server, protocol), model=folder.name, **options) as client,
    ):
        yield client


def test_it_answers_what_the_model_does(client, songs):
    expected = songs[2]
    for inputs in ({"tokens": SONGS}, {"tokens": SONGS.tolist()}, SONGS, SONGS.astype("S")):
        answers = client.predict(inputs)
        assert list(answers) == ["genre", "slots"]
        for name, answer in answers.items():
            assert answer.dtype == np.float32
            np.testing.assert_allclose(answer, expected[name], atol=1e-6)
    alone = client.predict(SONGS, "slots")
    assert list(alone) == ["slots"], "the name of a single output, which REST leaves out"
    np.testing.assert_allclose(alone["slots"], expected["slots"], atol=1e-6)


def test_labels_are_texts(client, songs):
    words = client.predict(SONGS, "serving_labels")
    assert words["genre"].dtype.kind == "U"
    assert words["genre"].tolist() == [GENRES[i] for i in songs[2]["genre"].argmax(-1)]
    assert words["slots"].tolist() == [[TAGS[i] for i in r] for r in songs[2]["slots"].argmax(-1)]


def test_the_name_of_the_model_can_be_left_to_the_server(server, protocol, songs):
    with Client(url(server, protocol)) as client:
        np.testing.assert_allclose(client.predict(SONGS)["genre"], songs[2]["genre"], atol=1e-6)
        assert client.status()[0]["state"] == "AVAILABLE"


def test_metadata_and_status_are_told_alike_by_both(server, songs):
    told = {}
    for protocol in PROTOCOLS:
        with Client(url(server, protocol), model="songs", version=1) as client:
            told[protocol] = (client.metadata(), client.status())
    assert told["rest"] == told["grpc"]
    signatures, status = told["rest"]
    assert {"serving_default", "genre", "slots", "serving_labels"} <= set(signatures)
    default = signatures["serving_default"]
    assert (default.inputs["tokens"].dtype, default.inputs["tokens"].shape) == (
        "string",
        (None, None),
    )
    assert default.outputs["slots"].shape == (None, None, len(TAGS))
    assert status == [{"version": "1", "state": "AVAILABLE", "error": ""}]


def test_every_type_goes_and_comes_back(tmp_path, protocol):
    rows = {
        "number": np.array([np.nan, -np.inf, 1e-3, 16777215.0]),
        "small": np.array([[1, -128], [127, 0], [1, 2], [3, 4]]),
        "large": np.array([2**63 - 1, -(2**63), 0, 1]),
        "flag": [True, False, True, True],
        "text": ["é \U0001f3b7", "", 'quote " and \\', "\x00\n"],
    }
    with served(tmp_path / "types", saved_models.Types(), protocol) as client:
        answers = client.predict(rows)
        for name, dtype in {
            "number": "float32",
            "small": "int8",
            "large": "int64",
            "flag": "bool",
        }.items():
            assert answers[name].dtype == dtype
            np.testing.assert_array_equal(answers[name], np.asarray(rows[name]).astype(dtype))
        assert answers["text"].tolist() == rows["text"]
        for wrong in ({"small": np.full((4, 2), 128)}, {"large": [0.5] * 4}, {"flag": ["a"] * 4}):
            with pytest.raises(BadRequest, match=next(iter(wrong))):
                client.predict({**rows, **wrong})
        for wrong in ([["a"], ["b", "c"]], [None], [{}]):
            with pytest.raises(ValueError, match="'text' is no array"):
                client.predict({**rows, "text": wrong})


def test_bytes_that_are_no_text_stay_bytes(tmp_path, protocol):
    with served(tmp_path / "numbered", saved_models.Numbered(1), protocol) as client:
        answers = client.predict(np.int32(4), "plain")
        assert answers["twice"] == 8 and answers["twice"].shape == ()
        assert answers["text_bytes"].tolist() == [b"\xff\x00"]
        assert answers["text"].tolist() == ["é"]


@pytest.mark.parametrize(
    ("options", "inputs", "signature", "error", "words"),
    [
        ({}, {"words": [["a"]]}, "serving_default", BadRequest, "words"),
        ({}, {"tokens": [["a"]], "more": [1.0]}, "serving_default", BadRequest, "more"),
        ({}, {"tokens": [1.0]}, "serving_default", BadRequest, "tokens"),
        ({}, {"tokens": "a"}, "serving_default", BadRequest, "tokens"),
        ({}, [["a"]], "nothing", BadRequest, "nothing.*genre"),
        ({"model": "other"}, [["a"]], "serving_default", NotFound, "other"),
        ({"version": 9}, [["a"]], "serving_default", NotFound, "9"),
    ],
)
def test_errors_have_types(server, protocol, options, inputs, signature, error, words):
    with (
        Client(url(server, protocol), **{"model": "songs", **options}) as client,
        pytest.raises(error, match=words) as caught,
    ):
        client.predict(inputs, signature)
    assert isinstance(caught.value, ServingError)
    assert (caught.value.code == "NOT_FOUND") == (error is NotFound)


def test_a_token_is_sent(songs, protocol):
    with Server(songs[1], port=0, grpc_port=0, token="s3cret") as server:
        for token in (None, "other"):
            with (
                Client(url(server, protocol), model="songs", token=token) as client,
                pytest.raises(Unauthenticated, match="token"),
            ):
                client.predict(SONGS)
        with Client(url(server, protocol), model="songs", token="s3cret") as client:
            assert client.predict(SONGS)["genre"].shape == (2, 3)


def echo(*failures):
    """A stub's answers; `failures` are given to the first requests for a prediction."""
    left = list(failures)

    def answer(method, path):
        if path.endswith("/metadata"):
            return 200, stubs.METADATA
        return left.pop(0) if left else (200, {"outputs": [1.5]})

    return answer


@pytest.fixture
def waits(monkeypatch):
    """The times that clients waited; none of it passes."""
    waited = []
    monkeypatch.setattr(client_file, "sleep", waited.append)
    return waited


def test_503_is_asked_again_after_longer_and_longer_waits(waits):
    busy = (503, {"error": "busy"})
    with stubs.rest(echo(busy, busy)) as stub, Client(stub.url, model="m") as client:
        assert client.predict([1.5]) == {"y": np.float32(1.5)}
        assert [path for _, path in stub.asked] == [
            "/v1/models/m/metadata",
            *["/v1/models/m:predict"] * 3,
        ]
    assert 0.05 <= waits[0] <= 0.1 <= waits[1] <= 0.2
    with (
        stubs.rest(echo(*[busy] * 9)) as stub,
        Client(stub.url, model="m", retries=2) as client,
        pytest.raises(Unavailable, match="busy"),
    ):
        client.predict([1.5])
    assert len(stub.asked) == 1 + 3


def test_unavailable_is_asked_again_over_grpc(waits):
    with stubs.rpc(refusals=2) as (address, asked), Client(address, model="m") as client:
        assert client.predict([1.5]) == {"y": np.float32(1.5)}
        assert asked == ["metadata", "predict", "predict", "predict"]
    assert len(waits) == 2
    with (
        stubs.rpc(refusals=9) as (address, asked),
        Client(address, model="m", retries=0) as client,
        pytest.raises(Unavailable, match="not yet"),
    ):
        client.predict([1.5])
    assert asked == ["metadata", "predict"]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, {"error": "no"}, BadRequest),
        (404, {"error": "no"}, NotFound),
        (401, {"error": "no"}, Unauthenticated),
        (413, {"error": "no"}, BadRequest),
        (500, {"error": "no"}, ServingError),
        (200, "<html>no</html>", ServingError),
        (200, {"predictions": "no"}, ServingError),
        (200, {"outputs": [["no"]]}, ServingError),
        (418, "no", BadRequest),
        (504, "no", DeadlineExceeded),
    ],
)
def test_what_would_fail_again_is_not_asked_again(waits, status, body, error):
    with stubs.rest(echo((status, body))) as stub, Client(stub.url, model="m") as client:
        with pytest.raises(error):
            client.predict([1.5])
        assert len(stub.asked) == 2 and waits == []
        assert client.predict([1.5]) == {"y": np.float32(1.5)}, "the next one is answered"


def test_signatures_are_asked_for_again_after_an_error():
    def answer(method, path):
        if path.endswith("/metadata"):
            return 200, stubs.METADATA
        return 400, {"error": "other inputs"}

    with stubs.rest(answer) as stub, Client(stub.url, model="m") as client:
        for _ in range(2):
            with pytest.raises(BadRequest):
                client.predict([1.5])
        assert [path.rsplit("/")[-1] for _, path in stub.asked] == ["metadata", "m:predict"] * 2


def test_tf_serving_does_not_tell_its_name():
    with (
        stubs.rest(lambda method, path: (404, {"error": "Malformed request"})) as stub,
        Client(stub.url) as client,
        pytest.raises(NotFound, match="`model`"),
    ):
        client.predict([1.5])


def test_a_server_that_comes_late_is_found(songs, protocol, monkeypatch):
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(2):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            ports.append(listening.getsockname()[1])
        stack.close()
        server = Server(songs[1], port=ports[0], grpc_port=ports[1])

        def wait(seconds):
            if server.repository is None:
                stack.enter_context(server)
            time.sleep(seconds)

        monkeypatch.setattr(client_file, "sleep", wait)
        with Client(url(server, protocol), model="songs", timeout=60, retries=20) as client:
            np.testing.assert_allclose(client.predict(SONGS)["genre"], songs[2]["genre"], atol=1e-6)


def test_nobody_there_is_unavailable(protocol, waits):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    scheme = {"rest": "http", "grpc": "grpc"}[protocol]
    with Client(f"{scheme}://127.0.0.1:{port}", model="m") as client, pytest.raises(Unavailable):
        client.predict([1.5])
    assert len(waits) == 3


def test_a_call_takes_no_longer_than_its_timeout(protocol):
    scheme = {"rest": "http", "grpc": "grpc"}[protocol]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with Client(f"{scheme}://127.0.0.1:{port}", model="m", timeout=0.3) as client:
            start = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                client.predict([1.5])
            assert 0.25 < time.monotonic() - start < 2


def test_retries_end_with_the_timeout():
    with stubs.rest(lambda method, path: (503, {"error": "busy"})) as stub:
        with Client(stub.url, model="m", timeout=0.5, retries=1000) as client:
            start = time.monotonic()
            with pytest.raises(Unavailable, match="busy"):
                client.predict([1.5])
            assert time.monotonic() - start < 0.6
        assert 2 <= len(stub.asked) < 10


def test_an_answer_that_drips_is_given_up():
    stop = threading.Event()

    def drip(listening):
        with listening.accept()[0] as connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while not stop.wait(0.02):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=drip, args=(listening,))
        thread.start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Client(address, model="m", timeout=0.3) as client:
            start = time.monotonic()
            with pytest.raises(DeadlineExceeded):
                client.status()
            assert time.monotonic() - start < 2
        stop.set()
        thread.join()


def test_threads_share_a_client(client, songs):
    wrong = []

    def ask():
        for _ in range(20):
            if not np.allclose(client.predict(SONGS)["genre"], songs[2]["genre"], atol=1e-6):
                wrong.append(1)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"url": "127.0.0.1:8501"}, "`url`"),
        ({"url": "ftp://host"}, "`url`"),
        ({"url": "http://"}, "`url`"),
        ({"token": "a\nb"}, "`token`"),
        ({"token": ""}, "`token`"),
        ({"timeout": 0}, "timeout=0"),
        ({"retries": -1}, "retries=-1"),
    ],
)
def test_faults_are_told_at_the_door(arguments, words):
    with pytest.raises(ValueError, match=words):
        Client(**{"url": "http://127.0.0.1:1", "model": "m", **arguments})


@pytest.mark.parametrize(
    ("scheme", "package"), [("http", "httpx"), ("grpc", "tensorflow_serving.apis")]
)
def test_a_missing_package_names_the_extra(monkeypatch, scheme, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"keras-mtl\[serve\]"):
        Client(f"{scheme}://127.0.0.1:1", model="m")


def test_one_array_for_several_inputs_is_refused(tmp_path, protocol):
    with (
        served(tmp_path / "types", saved_models.Types(), protocol) as client,
        pytest.raises(ValueError, match="give a dict"),
    ):
        client.predict([1.0])
