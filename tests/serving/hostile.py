"""Requests that nobody should send: good ones, mended for the worse by a seeded generator."""

import base64
import copy
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple


class Request(NamedTuple):
    """One request over HTTP; `chunks` is the body as it comes in."""

    kind: str
    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    chunks: list[bytes]


# Good bodies by path, of the models of `saved_models`.
SONG = ("/v1/models/songs:predict", {"instances": [["play", "some"], ["miles", ""]]})
GOOD = [
    SONG,
    ("/v1/models/songs:predict", {"inputs": {"tokens": [["play"]]}, "signature_name": "genre"}),
    ("/v1/models/songs/versions/1:predict", {"instances": [{"tokens": ["a", {"b64": "YQ=="}]}]}),
    (
        "/v1/models/types:predict",
        {
            "inputs": {
                "number": [1.5],
                "small": [[1, 2]],
                "large": [3],
                "flag": [True],
                "text": ["a"],
            }
        },
    ),
    (
        "/v1/models/types:predict",
        {"instances": [{"number": 1.5, "small": [1, 2], "large": 3, "flag": True, "text": "a"}]},
    ),
]
JUNK: list[Any] = [
    None, True, False, 0, -1, 1, 127, 128, -129, 2**31, 2**63, -(2**63) - 1, 10**400, 0.5, -0.0, 1e308,
    1e39, 5e-324, float("nan"), float("inf"), float("-inf"), "", "a", "\x00", "\ud800", "\U0001f3b7",
    "\u202e", "é" * 1000, "x" * 20_000, "NaN", "1", "__class__", {}, {"b64": "!!"}, {"b64": "YQ="},
    {"b64": 1}, {"b64": "YQ==", "x": 1}, {"b64": "é"}, {"a": {"b": {}}}, [], [[]], [[[]]], [None], [[1], 1],
    [[], [1]], ["a", 1], [{"b64": "YQ=="}], [{}], [0] * 1000, {"k" * 20_000: 1}, {"": 0},
]  # fmt: skip
KEYS = [
    "", "inputs", "instances", "signature_name", "tokens", "number", "b64", "\x00", "\ud800", "é" * 500,
    "serving_default", "__saved_model_init_op", "k" * 50_000,
]  # fmt: skip
METHODS = [
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "BREW",
    "post",
]
NAMES = [
    "songs", "types", "other", "", "..", "%", "é", "\ufffd", "a:b", "songs:", ":predict", " ", "\x00",
    "x" * 5000, "songs/versions", "$name", "<script>",
]  # fmt: skip
VERSIONS = [
    "1", "2", "0", "-1", "01", "1.0", "1e3", "", " 1", "x", "\u0661", "9" * 30, str(2**63), str(2**63 - 1),
    "+1", "0x1", "1_0",
]  # fmt: skip
ENDS = [
    "", ":predict", ":classify", ":regress", ":predict:predict", "/metadata", "/labels", "/", "//", "/x",
    ":PREDICT", "/metadata/", "?signature_name=x", "#",
]  # fmt: skip
HEADERS = [
    (b"content-type", b"text/plain"), (b"content-type", b"\xff\xfe"), 
    (b"content-type", b"multipart/form-data"),
    (b"content-length", b"-1"), (b"content-length", b"999999999999"), (b"content-encoding", b"gzip"),
    (b"authorization", b"Bearer \xff"), (b"authorization", b""), (b"host", b"\x80"), (b"x" * 3000, b"y"),
    (b"accept", b"image/png"), (b"expect", b"100-continue"), (b"origin", b"https://example.org"),
    (b"content-type", b"application/json; charset=utf-16"), (b"cookie", b"=;=" * 500),
]  # fmt: skip
_JSON = [(b"content-type", b"application/json")]


def requests(count: int, seed: int) -> Iterator[Request]:
    """That many requests, of every kind in turn."""
    rng = random.Random(seed)
    kinds = [structure, text, place, headed, nested, tensors]
    for i in range(count):
        yield kinds[i % len(kinds)](rng)


def structure(rng: random.Random) -> Request:
    """Values, names and nesting that are not what they should be."""
    path, body = copy.deepcopy(rng.choice(GOOD))
    for _ in range(rng.choice([1, 1, 2, 3])):
        body = _worse(rng, body)
    return Request("structure", "POST", path, _JSON, [_written(body)])


def text(rng: random.Random) -> Request:
    """Bytes that are no JSON, or no text, or not all there."""
    path, good = rng.choice(GOOD)
    body = bytearray(json.dumps(good).encode())
    at = rng.randrange(len(body))
    way = rng.randrange(9)
    if way == 0:
        body = body[:at]
    elif way == 1:
        body[at] = rng.randrange(256)
    elif way == 2:
        body[at:at] = rng.randbytes(rng.randrange(1, 20))
    elif way == 3:
        body = bytearray(rng.randbytes(rng.randrange(200)))
    elif way == 4:
        body = bytearray(json.dumps(good).encode(rng.choice(["utf-16", "utf-32-be", "utf-8-sig"])))
    elif way == 5:
        body = body[at:] + body[:at]
    elif way == 6:
        body += rng.choice([b"\x00", b"}", b"{}", b",", b" " * 1000, bytes(body)])
    elif way == 7:
        body = bytearray(
            body.replace(b'"', b"'") if rng.random() < 0.5 else body.replace(b"[", b"(")
        )
    else:
        body = bytearray(
            rng.choice([b"", b"null", b"[]", b"1", b'"a"', b"{}", b"NaN", b"\xef\xbb\xbf"])
        )
    cut = rng.randrange(len(body) + 1)
    return Request("text", "POST", path, _JSON, [bytes(body[:cut]), bytes(body[cut:])])


def place(rng: random.Random) -> Request:
    """Methods and paths that nothing is at."""
    name, version = rng.choice(NAMES), rng.choice(VERSIONS)
    path = rng.choice(
        [
            f"/v1/models/{name}",
            f"/v1/models/{name}/versions/{version}",
            f"/v1/models/songs/versions/{version}",
            f"/v1/{name}",
            f"/{name}",
            rng.choice(
                ["*", "/v1/models", "/v1/models/", "/healthz/", "/docs", "/../etc/passwd", "//"]
            ),
        ]
    )
    body = _written(rng.choice(GOOD)[1])
    return Request("place", rng.choice(METHODS), path + rng.choice(ENDS), _JSON, [body])


def headed(rng: random.Random) -> Request:
    """Headers that lie."""
    path, body = rng.choice(GOOD)
    headers = rng.sample(HEADERS, rng.choice([1, 2, 3]))
    chunks = [_written(body)]
    if rng.random() < 0.3:
        chunks = [b""] * rng.randrange(50) + chunks
    return Request("headed", rng.choice(["POST", "POST", "GET"]), path, headers, chunks)


def nested(rng: random.Random) -> Request:
    """Lists and objects in each other, far too deep or far too many."""
    deep = rng.choice([2, 5, 64, 65, 200, 1000, 20_000])
    inner = rng.choice(['"a"', "1", "", "{}"])
    body = {
        0: '{"inputs": ' + "[" * deep + inner + "]" * deep + "}",
        1: '{"instances": ' + "[" * deep + inner + "]" * deep + "}",
        2: '{"inputs": ' + '{"tokens":' * deep + '"a"' + "}" * deep + "}",
        3: "[" * deep,
        4: '{"inputs": {"tokens": [' + ",".join(["[]"] * deep) + "]}}",
        5: '{"instances": [' + ",".join(['["a"]'] * min(deep, 1000)) + ',["a","b"]]}',
        6: '{"inputs": {"tokens": ' + '{"b64":' * deep + '"YQ=="' + "}" * deep + "}}",
    }[rng.randrange(7)]
    path = rng.choice(GOOD)[0]
    return Request("nested", "POST", path, _JSON, [body.encode()])


def tensors(rng: random.Random) -> Request:
    """Well-formed rows whose values or shapes are not the signature's."""
    columns: dict[str, Any] = {}
    rows = rng.choice([0, 1, 1, 2, 3])
    for name in ("number", "small", "large", "flag", "text"):
        value = rng.choice([*JUNK, 1.5, 1, True, "a", base64.b64encode(b"\xff").decode()])
        columns[name] = [[value, value] if name == "small" else value for _ in range(rows)]
        if rng.random() < 0.1:
            columns[name] = columns[name] + columns[name][:1]
    if rng.random() < 0.5:
        good = dict(GOOD[3][1]["inputs"])
        name = rng.choice(list(columns))
        columns = {**good, name: columns[name]}
    return Request(
        "tensors", "POST", "/v1/models/types:predict", _JSON, [_written({"inputs": columns})]
    )


def _worse(rng: random.Random, body: Any) -> Any:
    """One thing of a JSON value changed."""
    holders = list(_holders(body))
    if not holders:
        return rng.choice(JUNK)
    holder = rng.choice(holders)
    key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    way = rng.randrange(7)
    if way == 0:
        holder[key] = copy.deepcopy(rng.choice(JUNK))
    elif way == 1:
        del holder[key]
    elif way == 2 and isinstance(holder, dict):
        holder[rng.choice(KEYS)] = holder.pop(key)
    elif way == 3 and isinstance(holder, dict):
        holder[rng.choice(KEYS)] = copy.deepcopy(rng.choice(JUNK))
    elif way == 4:
        holder[key] = [holder[key]]
    elif way == 5:
        holder[key] = {rng.choice(KEYS): holder[key]}
    elif isinstance(holder, list):
        holder.append(copy.deepcopy(rng.choice([*JUNK, holder[key]])))
    else:
        return rng.choice([[body], {"inputs": body}, body.get("inputs", JUNK[0])])
    return body


def _holders(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)) and value:
        yield value
        for one in value.values() if isinstance(value, dict) else value:
            yield from _holders(one)


def _written(body: Any) -> bytes:
    return json.dumps(body).encode()
