"""TF Serving's JSON: what each form means, by examples worked by hand."""

import base64
import json

import numpy as np
import pytest

from keras_mtl.serving import _rows
from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._signature import Signature, Spec

ONE = Signature("one", {"x": Spec("float32", (None, 2))}, {"y": Spec("float32", (None,))})
TEXT = Signature("text", {"t": Spec("string", (None, None))}, {})
TWO = Signature(
    "two",
    {"a": Spec("int32", (None,)), "b": Spec("bool", (None, 1))},
    {"y": Spec("float32", (None,)), "z": Spec("string", (None,))},
)


def read(signature, **request):
    return _rows.read_rows(_rows.read_body(json.dumps(request).encode()), signature)


def refusal(signature, **request):
    with pytest.raises(ServingError) as caught:
        read(signature, **request)
    assert caught.value.http_status == 400
    return caught.value.message


def typed(dtype):
    return Signature("s", {"x": Spec(dtype, (None,))}, {})


def test_rows_and_columns_mean_the_same_arrays():
    expected = {"a": np.array([1, 2], "int32"), "b": np.array([[True], [False]])}
    rows = read(TWO, instances=[{"a": 1, "b": [True]}, {"b": [False], "a": 2}])
    columns = read(TWO, inputs={"a": [1, 2], "b": [[True], [False]]})
    for arrays in (rows, columns):
        assert list(arrays) == ["a", "b"]
        for name, array in arrays.items():
            assert array.dtype == expected[name].dtype
            np.testing.assert_array_equal(array, expected[name])


def test_a_single_input_needs_no_name():
    for request in (
        {"instances": [[1, 2.5]]},
        {"instances": [{"x": [1, 2.5]}]},
        {"inputs": [[1, 2.5]]},
        {"inputs": {"x": [[1, 2.5]]}},
    ):
        array = read(ONE, **request)["x"]
        assert array.dtype == np.float32 and array.tolist() == [[1.0, 2.5]]


def test_strings_are_text_or_base64():
    raw = b"\xff\x00raw"
    coded = {"b64": base64.b64encode(raw).decode()}
    assert read(TEXT, instances=[["é", coded]])["t"].tolist() == [["é".encode(), raw]]
    flat = Signature("f", {"t": Spec("string", (None,))}, {})
    assert read(flat, instances=[coded, "a"])["t"].tolist() == [raw, b"a"], "a value, not a name"
    assert read(flat, instances=[{"b64": coded["b64"].rstrip("=")}])["t"].tolist() == [raw]
    one = Signature("o", {"t": Spec("string", ())}, {})
    assert read(one, inputs=coded)["t"].item() == raw


def test_numbers_that_json_has_no_word_for_are_read_and_written():
    body = b'{"instances": [NaN, Infinity, -Infinity, 1e3]}'
    array = _rows.read_rows(_rows.read_body(body), typed("float32"))["x"]
    np.testing.assert_array_equal(array, np.array([np.nan, np.inf, -np.inf, 1000.0], "float32"))
    signature = Signature("s", {}, {"y": Spec("float32", (None,))})
    written = _rows.write_rows({"y": array}, signature, columns=False)
    assert written == b'{"predictions": [NaN, Infinity, -Infinity, 1000.0]}'


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "int8", "uint64", "bool"]
)
def test_every_type_is_read_as_itself(dtype):
    value = [True, False] if dtype == "bool" else [1, 0]
    array = read(typed(dtype), instances=value)["x"]
    assert array.dtype.name == dtype and array.tolist() == value


@pytest.mark.parametrize(
    ("dtype", "value", "why"),
    [
        ("int8", 128, "between -128 and 127"),
        ("uint8", -1, "between 0 and 255"),
        ("int64", 2**63, "between"),
        ("int32", 1.0, "a JSON number where a whole number"),
        ("int32", True, "a JSON boolean where a whole number"),
        ("int32", "1", "a JSON string where a whole number"),
        ("float32", True, "a JSON boolean where a number"),
        ("float32", None, "a JSON null where a number"),
        ("float32", "NaN", "a JSON string where a number"),
        ("float32", {"b64": "AA=="}, "a JSON object where a number"),
        ("float32", 1e39, "too large"),
        ("float32", 2**24, "cannot be held exactly"),
        ("bfloat16", 257, "cannot be held exactly"),
        ("float64", 10**400, "too large"),
        ("bool", 1, "a JSON number where true or false"),
        ("string", 1, "a JSON number where a string"),
        ("string", {"b64": "A"}, "not base64"),
        ("string", {"b64": "ÄÄÄÄ"}, "not base64"),
        ("string", {"b64": 1}, 'a string or {"b64": "..."}'),
        ("string", {"c": "AA=="}, 'a string or {"b64": "..."}'),
        ("string", "\ud800", "surrogates"),
        ("complex64", 1, "use gRPC"),
    ],
)
def test_values_of_another_type_are_refused(dtype, value, why):
    named = {"x": [value]}
    assert why in refusal(typed(dtype), inputs=named)
    assert f"Input 'x' is {dtype}" in refusal(typed(dtype), inputs=named)


def test_whole_numbers_that_a_float_holds_are_taken():
    assert read(typed("float32"), instances=[2**24 - 1])["x"].tolist() == [16777215.0]
    assert read(typed("bfloat16"), instances=[255])["x"].tolist() == [255.0]


def test_rows_of_different_shape_are_refused():
    for value in ([[1, 2], [3]], [[1, 2], 3], [[1, 2], [3, [4]]], [[[1], 2]]):
        assert "Input 'x'" in refusal(ONE, instances=value)
    assert "Input 'x'" in refusal(ONE, instances=[1, [2]])


def test_requests_of_another_form_are_refused():
    assert "either 'instances' or 'inputs'" in refusal(ONE)
    assert "either 'instances' or 'inputs'" in refusal(ONE, instances=[[1, 2]], inputs=[[1, 2]])
    for nothing in ([], {}, None, "x", 1):
        assert "at least one row" in refusal(ONE, instances=nothing)
    assert "so name them" in refusal(TWO, instances=[[1], [2]])
    assert "so name them" in refusal(TWO, inputs=[1, 2])
    assert "Row 1 of 'instances'" in refusal(TWO, instances=[{"a": 1, "b": [True]}, {"a": 1}])
    assert "but came a JSON list" in refusal(TWO, instances=[{"a": 1, "b": [True]}, [1]])
    assert "but came ['a', 'b', 'c']" in refusal(TWO, inputs={"a": [1], "b": [[True]], "c": 1})
    for name in (1, None, ["one"]):
        with pytest.raises(ServingError, match="'signature_name' is a JSON"):
            _rows.signature_name({"signature_name": name})
    assert _rows.signature_name({}) == ""


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"null", b"\xff\xfe\xff", b'{"a": 1}x', b"[" * 100_000, b'{"a":' * 9999],
)
def test_bodies_that_are_no_json_object_are_refused(body):
    with pytest.raises(ServingError) as caught:
        _rows.read_body(body)
    assert caught.value.http_status == 400


def test_a_body_of_too_many_values_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(_rows, "MAX_VALUES", 10)
    assert _rows.read_body(b'{"a": [1, 2, 3]}') == {"a": [1, 2, 3]}
    with pytest.raises(ServingError, match="about 12 values; expected at most 10"):
        _rows.read_body(b"[[],[],[],[],[],[" + b"not even JSON")


def test_floats_are_written_as_short_as_they_are():
    signature = Signature("s", {}, {"y": Spec("float32", (None,))})
    numbers = np.array([0.2, 1.0, 1e-8, 16777216.0, 1 / 3], "float32")
    written = _rows.write_rows({"y": numbers}, signature, columns=True)
    assert written.startswith(b'{"outputs": [0.2, 1.0, 1e-08, 16777216.0, 0.333333')
    back = np.array(json.loads(written)["outputs"], "float32")
    np.testing.assert_array_equal(back, numbers)


def test_answers_come_in_the_form_of_the_request():
    outputs = {"y": np.array([0.5, 1.5], "float32"), "z": np.array([b"a", "é".encode()], object)}
    rows = json.loads(_rows.write_rows(outputs, TWO, columns=False))
    assert rows == {"predictions": [{"y": 0.5, "z": "a"}, {"y": 1.5, "z": "é"}]}
    columns = json.loads(_rows.write_rows(outputs, TWO, columns=True))
    assert columns == {"outputs": {"y": [0.5, 1.5], "z": ["a", "é"]}}
    one = {"y": outputs["y"]}
    assert json.loads(_rows.write_rows(one, ONE, columns=False)) == {"predictions": [0.5, 1.5]}
    assert json.loads(_rows.write_rows(one, ONE, columns=True)) == {"outputs": [0.5, 1.5]}


def test_bytes_are_written_as_base64_where_the_name_says_so():
    raw = np.array([b"\xff\x00"], object)
    signature = Signature("s", {}, {})
    answer = json.loads(_rows.write_rows({"t_bytes": raw, "t": raw}, signature, columns=True))
    assert base64.b64decode(answer["outputs"]["t_bytes"][0]["b64"]) == b"\xff\x00"
    assert answer["outputs"]["t"] == ["�\x00"]


def test_outputs_without_common_rows_are_given_as_columns_alone():
    outputs = {"y": np.zeros(2, "float32"), "z": np.zeros((), "int32")}
    with pytest.raises(ServingError, match="have no common rows; ask in column form"):
        _rows.write_rows(outputs, TWO, columns=False)
    columns = json.loads(_rows.write_rows(outputs, TWO, columns=True))
    assert columns == {"outputs": {"y": [0.0, 0.0], "z": 0}}
