"""TF Serving's REST API, asked in process: answers, states, and one form for every error."""

import json
from base64 import b64encode

import numpy as np
import pytest

from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._repository import Repository
from keras_mtl.serving.rest import rest_app
from tests.serving import saved_models
from tests.serving.asgi import Asgi
from tests.serving.saved_models import GENRES, SONGS

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("tensorflow_serving.apis")
pytest.importorskip("httpx")
pytest.importorskip("grpc")

TOKENS = SONGS.tolist()
PREDICT = "/v1/models/songs:predict"


@pytest.fixture(scope="module")
def repository(songs):
    repository = Repository(songs[1], poll=3600)
    yield repository
    repository.close()


def client_of(repository, **kwargs):
    return Asgi(rest_app(repository, Batcher(), **kwargs))


@pytest.fixture(scope="module")
def client(repository):
    return client_of(repository)


def post(client, path=PREDICT, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def chunks(count):
    """A body of no declared length."""
    for _ in range(count):
        yield b"x" * 100


def refused(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"] and isinstance(body["error"], str) and body["error"]
    return body["error"]


@pytest.mark.parametrize("form", [TOKENS, [{"tokens": row} for row in TOKENS]])
def test_rows_are_answered_as_the_model_predicts(client, songs, form):
    rows = post(client, instances=form)["predictions"]
    assert len(rows) == 2
    for name, expected in songs[2].items():
        np.testing.assert_allclose([row[name] for row in rows], expected, atol=1e-5)


@pytest.mark.parametrize("form", [TOKENS, {"tokens": TOKENS}])
def test_columns_are_answered_as_the_model_predicts(client, songs, form):
    outputs = post(client, inputs=form)["outputs"]
    assert outputs.keys() == songs[2].keys()
    for name, expected in songs[2].items():
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)


def test_a_signature_can_be_chosen(client, songs):
    genre = post(client, instances=TOKENS, signature_name="genre")["predictions"]
    np.testing.assert_allclose(genre, songs[2]["genre"], atol=1e-5)
    words = post(client, inputs=TOKENS, signature_name="serving_labels")["outputs"]
    assert words["genre"] == [GENRES[i] for i in songs[2]["genre"].argmax(-1)]
    versioned = post(client, "/v1/models/songs/versions/1:predict", instances=TOKENS)
    assert versioned == post(client, instances=TOKENS)


def test_the_state_of_versions_is_told_as_tf_serving_does(client):
    expected = {
        "model_version_status": [
            {
                "version": "1",
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
        ]
    }
    assert client.get("/v1/models/songs").json() == expected
    assert client.get("/v1/models/songs/versions/1").json() == expected


def test_metadata_names_every_type_and_shape(client):
    for path in ("/v1/models/songs/metadata", "/v1/models/songs/versions/1/metadata"):
        told = client.get(path).json()
        assert told["model_spec"]["name"] == "songs" and told["model_spec"]["version"] == "1"
        default = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert default["method_name"] == "tensorflow/serving/predict"
        tokens, slots = default["inputs"]["tokens"], default["outputs"]["slots"]
        assert (tokens["dtype"], slots["dtype"]) == ("DT_STRING", "DT_FLOAT")
        sizes = [dim["size"] for dim in slots["tensor_shape"]["dim"]]
        assert sizes == ["-1", "-1", "3"], "64-bit numbers are strings in a message's JSON"


def test_what_is_not_there_is_404(client):
    asked = {"instances": TOKENS}
    for path in ("/v1/models/other:predict", "/v1/models/songs/versions/2:predict"):
        refused(client.post(path, json=asked), 404)
    for path in ("/v1/models/other", "/v1/models/songs/versions/2", "/v1/models/other/metadata"):
        refused(client.get(path), 404)
    assert "'songs'" in refused(client.get("/v1/models/other"), 404), "it tells what is there"
    unknown = client.post(PREDICT, json=asked | {"signature_name": "mood"})
    assert "'genre'" in refused(unknown, 400), "as TF Serving has it"
    refused(client.get("/nothing"), 404)


def test_bytes_that_are_no_example_are_400(client):
    """TensorFlow's message repeats them, and they are no text."""
    for data in (b"\xff\xff x", b"\x0a\xff", b"no example"):
        body = {"signature_name": "serving_examples"}
        told = client.post(PREDICT, json={**body, "instances": [{"b64": b64encode(data).decode()}]})
        assert "serving_examples" in refused(told, 400)


def test_what_cannot_be_answered_is_400(client):
    for body in (
        {},
        {"instances": [{"words": TOKENS[0]}]},
        {"instances": [1, 2]},
        {"instances": [["play", 1]]},
        {"instances": [["play"], ["some", "miles"]]},
        {"inputs": {"tokens": TOKENS, "more": 1}},
        {"inputs": "play"},
        {"instances": TOKENS, "signature_name": 1},
    ):
        refused(client.post(PREDICT, json=body), 400)
    for content in (
        b"",
        b"{",
        b"[" * 50_000,
        b"\xff",
        json.dumps({"instances": TOKENS})[:-2].encode(),
    ):
        refused(client.post(PREDICT, content=content), 400)
    for path in ("/v1/foo", "/v1/models/songs/versions/x", "/v1/models/songs/versions/-1"):
        refused(client.get(path), 400)


def test_the_content_type_does_not_matter(client):
    """As with curl -d, which says that it is a form."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    content = json.dumps({"instances": TOKENS})
    assert client.post(PREDICT, content=content, headers=headers).status_code == 200


def test_methods_that_a_path_does_not_take_are_405(client):
    for method, path in (
        ("PUT", PREDICT),
        ("DELETE", "/v1/models/songs"),
        ("POST", "/v1/models/songs:classify"),
    ):
        refused(client.request(method, path), 405)
    refused(client.get(PREDICT), 405)


def test_a_body_that_is_too_large_is_413_and_the_server_goes_on(repository):
    client = client_of(repository, max_body_bytes=1000)
    refused(client.post(PREDICT, content=b"x" * 1001), 413)
    refused(client.post(PREDICT, content=chunks(11)), 413)
    refused(client.post(PREDICT, content=chunks(200)), 413)
    refused(client.post(PREDICT, content=b"x" * 1000), 400)
    assert post(client, instances=TOKENS)["predictions"]


def test_a_token_is_asked_for_but_by_healthz(repository):
    client = client_of(repository, token="s3cret")
    asked = [
        ("POST", PREDICT, {"instances": TOKENS}),
        ("GET", "/v1/models/songs", None),
        ("GET", "/v1/models/songs/metadata", None),
        ("GET", "/metrics", None),
        ("GET", "/openapi.json", None),
    ]
    for method, path, body in asked:
        for wrong in (None, "Bearer other", "Bearer s3cret2", "s3cret", "Basic s3cret", "Bearer "):
            headers = {"Authorization": wrong} if wrong is not None else {}
            answer = client.request(method, path, json=body, headers=headers)
            refused(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        right = client.request(method, path, json=body, headers={"Authorization": "Bearer s3cret"})
        assert right.status_code == 200
    assert client.get("/healthz").status_code == 200


def test_healthz_tells_whether_a_version_is_there(client, tmp_path):
    assert client.get("/healthz").json() == {"status": "ok"}
    empty = Repository(tmp_path, poll=3600)
    refused(client_of(empty).get("/healthz"), 503)
    saved_models.write_version(tmp_path, 1, saved_models.Numbered(1))
    empty.look()
    assert client_of(empty).get("/healthz").status_code == 200
    empty.close()


def test_metrics_count_requests_by_their_code(repository):
    client = client_of(repository)
    for _ in range(3):
        post(client, instances=TOKENS)
    refused(client.post(PREDICT, json={}), 400)
    lines = client.get("/metrics").text.splitlines()
    assert 'keras_mtl_requests_total{code="OK",protocol="rest"} 3.0' in lines
    assert 'keras_mtl_requests_total{code="INVALID_ARGUMENT",protocol="rest"} 1.0' in lines
    assert "keras_mtl_joined_requests_total 3.0" in lines
    assert "keras_mtl_requests_under_way 0.0" in lines
    assert 'keras_mtl_model_version{state="AVAILABLE",version="1"} 1.0' in lines


def test_a_failure_of_the_server_has_the_same_form_and_no_secrets(repository, monkeypatch):
    def broken(*args):
        raise RuntimeError("an inner secret")

    monkeypatch.setattr("keras_mtl.serving._rows.read_rows", broken)
    assert "secret" not in refused(
        client_of(repository).post(PREDICT, json={"instances": TOKENS}), 500
    )


def test_openapi_tells_every_path_with_its_body_and_loads_nothing_from_elsewhere(client):
    told = client.get("/openapi.json").json()
    assert {"/v1/models/{name}:predict", "/v1/models/{name}/metadata", "/healthz"} <= set(
        told["paths"]
    )
    body = told["paths"]["/v1/models/{name}:predict"]["post"]["requestBody"]
    forms = body["content"]["application/json"]["schema"]["oneOf"]
    assert [form["required"] for form in forms] == [["instances"], ["inputs"]]
    refused(client.get("/docs"), 404)


def test_outputs_without_rows_are_given_as_columns(tmp_path):
    saved_models.write_version(tmp_path, 1, saved_models.Numbered(1))
    repository = Repository(tmp_path, "n", poll=3600)
    client = client_of(repository)
    body = {"signature_name": "plain", "inputs": 4}
    answer = client.post("/v1/models/n:predict", json=body).json()["outputs"]
    assert answer == {"twice": 8, "text": ["é"], "text_bytes": [{"b64": "/wA="}]}
    body = {"signature_name": "plain", "instances": [4]}
    assert "input" in refused(client.post("/v1/models/n:predict", json=body), 400).lower()
    repository.close()


def test_many_types_come_back_as_they_went(tmp_path):
    saved_models.write_version(tmp_path, 1, saved_models.Types())
    repository = Repository(tmp_path, "t", poll=3600)
    rows = [
        {"number": 0.1, "small": [1, -128], "large": 2**62, "flag": True, "text": "a"},
        {"number": -3.0, "small": [0, 127], "large": -1, "flag": False, "text": "é"},
    ]
    answer = client_of(repository).post("/v1/models/t:predict", json={"instances": rows})
    assert answer.json()["predictions"] == rows
    repository.close()
