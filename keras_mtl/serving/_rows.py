"""TF Serving's JSON to arrays and back: rows under `instances`, or columns under `inputs`."""

import base64
import itertools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving._errors import invalid
from keras_mtl.serving._signature import Signature, Spec

# Lists and numbers take many times their text in memory, so text is refused before it is read.
MAX_VALUES = 4_000_000
_MAX_DEPTH = 64


def read_body(body: bytes) -> dict[str, Any]:
    """The object of a request's body.

    Raises:
        ServingError: INVALID_ARGUMENT, if it is no JSON object, or has too many values.
    """
    values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if values > MAX_VALUES:
        raise invalid(
            f"The body holds about {values} values; expected at most {MAX_VALUES}: send fewer rows a "
            "request, or use gRPC."
        )
    try:
        request = json.loads(body)
    except RecursionError:
        raise invalid("The body is nested too deeply.") from None
    except ValueError as error:
        raise invalid(f"The body is no JSON: {str(error)[:200]}") from None
    if not isinstance(request, dict):
        raise invalid(f"The body is a JSON {_kind(request)}; expected an object.")
    return request


def signature_name(request: Mapping[str, Any]) -> str:
    """The signature that a request asks for, "" for the default one."""
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"'signature_name' is a JSON {_kind(name)}; expected a string.")
    return name


def read_rows(request: Mapping[str, Any], signature: Signature) -> dict[str, np.ndarray]:
    """The arrays of a request in row form (`instances`) or column form (`inputs`).

    Raises:
        ServingError: INVALID_ARGUMENT, with what was expected and what came.
    """
    if ("instances" in request) == ("inputs" in request):
        raise invalid("The body must have either 'instances' or 'inputs', and not both.")
    if "instances" in request:
        columns = _columns(request["instances"], signature)
    else:
        inputs = request["inputs"]
        named = isinstance(inputs, dict) and not _is_base64(inputs)
        columns = inputs if named else {_only(signature, "inputs"): inputs}
    if columns.keys() != signature.inputs.keys():
        raise invalid(
            f"Signature {signature.name!r} takes the inputs {sorted(signature.inputs)}, but came "
            f"{sorted(columns)[:20]}."
        )
    return {name: _array(name, columns[name], spec) for name, spec in signature.inputs.items()}


def write_rows(outputs: Mapping[str, np.ndarray], signature: Signature, *, columns: bool) -> bytes:
    """The body of the answer: columns under `outputs`, or rows under `predictions`.

    Raises:
        ServingError: INVALID_ARGUMENT, if rows were asked for and the outputs have no common ones.
    """
    lists = {name: _list(name, array) for name, array in outputs.items()}
    if columns:
        answer = {"outputs": lists if len(lists) > 1 else next(iter(lists.values()))}
        return json.dumps(answer).encode()
    counts = {name: array.shape[:1] for name, array in outputs.items()}
    if len(set(counts.values())) != 1 or () in counts.values():
        raise invalid(
            f"The outputs of signature {signature.name!r} have no common rows; ask in column form, "
            "with 'inputs' in the place of 'instances'."
        )
    if len(lists) == 1:
        return json.dumps({"predictions": next(iter(lists.values()))}).encode()
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return json.dumps({"predictions": rows}).encode()


def _columns(instances: Any, signature: Signature) -> dict[str, list[Any]]:
    if not isinstance(instances, list) or not instances:
        raise invalid("'instances' must be a list of at least one row.")
    named = [isinstance(row, dict) and not _is_base64(row) for row in instances]
    if not any(named):
        return {_only(signature, "instances"): instances}
    for i, row in enumerate(instances):
        if not named[i] or row.keys() != signature.inputs.keys():
            came = sorted(row)[:20] if named[i] else f"a JSON {_kind(row)}"
            raise invalid(
                f"Row {i} of 'instances' must be an object with the inputs "
                f"{sorted(signature.inputs)}, but came {came}."
            )
    return {name: [row[name] for row in instances] for name in signature.inputs}


def _only(signature: Signature, form: str) -> str:
    if len(signature.inputs) != 1:
        raise invalid(
            f"Signature {signature.name!r} takes the inputs {sorted(signature.inputs)}, so name "
            f"them: {form!r} came without names."
        )
    return next(iter(signature.inputs))


def _array(name: str, value: Any, spec: Spec) -> np.ndarray:
    items = [value]
    shape: list[int] = []
    while items and isinstance(items[0], list):
        if {type(item) for item in items} != {list} or len({len(item) for item in items}) != 1:
            raise invalid(
                f"Input {name!r} has lists of different length at depth {len(shape) + 1}; every row "
                "must have one shape."
            )
        shape.append(len(items[0]))
        if len(shape) > _MAX_DEPTH:
            raise invalid(f"Input {name!r} is nested too deeply; expected {spec}.")
        items = list(itertools.chain.from_iterable(items))
    try:
        flat = _FLAT[_family(spec.dtype)](items, np.dtype(tf.as_dtype(spec.dtype).as_numpy_dtype))
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid(f"Input {name!r} is {spec}: {error}") from None
    return flat.reshape(shape)


def _family(dtype: str) -> str:
    if dtype in ("string", "bool"):
        return dtype
    kind = np.dtype(tf.as_dtype(dtype).as_numpy_dtype).kind
    # The kind of bfloat16 is "V".
    return "int" if kind in "iu" else "complex" if kind == "c" else "float"


def _floats(items: list[Any], dtype: np.dtype) -> np.ndarray:
    _expect(items, {int, float}, "a number")
    wide = np.array(items, np.float64)
    with np.errstate(over="ignore"):
        floats = wide.astype(dtype)
    if not (np.isfinite(floats) | ~np.isfinite(wide)).all():
        raise ValueError("a number is too large for it.")
    # TF Serving, too, takes no whole number that the type cannot hold exactly.
    exact = 2 ** (8 if dtype.kind == "V" else np.finfo(dtype).nmant + 1)
    if any(type(item) is int and abs(item) >= exact for item in items):
        raise ValueError(f"a whole number is not below {exact}, so it cannot be held exactly.")
    return floats


def _ints(items: list[Any], dtype: np.dtype) -> np.ndarray:
    _expect(items, {int}, "a whole number")
    limits = np.iinfo(dtype)
    if items and not (limits.min <= min(items) and max(items) <= limits.max):
        raise ValueError(f"a number is not between {limits.min} and {limits.max}.")
    return np.array(items, dtype)


def _bools(items: list[Any], dtype: np.dtype) -> np.ndarray:
    _expect(items, {bool}, "true or false")
    return np.array(items, dtype)


def _strings(items: list[Any], dtype: np.dtype) -> np.ndarray:
    _expect(items, {str, dict}, "a string")
    strings = np.empty(len(items), object)
    strings[:] = [item.encode() if isinstance(item, str) else _decoded(item) for item in items]
    return strings


def _complex(items: list[Any], dtype: np.dtype) -> np.ndarray:
    raise TypeError("JSON has no such numbers; use gRPC.")


_FLAT = {
    "float": _floats,
    "int": _ints,
    "bool": _bools,
    "string": _strings,
    "complex": _complex,
}


def _expect(items: list[Any], types: set[type], what: str) -> None:
    strange = set(map(type, items)) - types
    if strange:
        item = next(item for item in items if type(item) in strange)
        raise TypeError(f"came a JSON {_kind(item)} where {what} was expected.")


def _is_base64(value: dict[str, Any]) -> bool:
    return value.keys() == {"b64"} and isinstance(value["b64"], str)


def _decoded(value: dict[str, Any]) -> bytes:
    if not _is_base64(value):
        raise TypeError('came a JSON object where a string or {"b64": "..."} was expected.')
    text = value["b64"]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("what 'b64' holds is not base64.") from None


def _list(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        # Bytes that are no text are sent as such where the output's name says so, as TF Serving does.
        encode = _base64 if name.endswith("_bytes") else _text
        flat = [encode(item) for item in array.ravel()]
        nested = np.empty(len(flat), object)
        nested[:] = flat
        return nested.reshape(array.shape).tolist()
    if array.dtype.kind == "c":
        raise invalid(f"Output {name!r} is complex, and JSON has no such numbers; use gRPC.")
    if array.dtype.kind in "fV" and array.dtype != np.float64:
        # The shortest text that stands for the number in its own precision: 0.2, not 0.20000000298.
        return array.astype(np.float32).astype("U").astype(np.float64).tolist()
    return array.tolist()


def _base64(item: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(item).decode()}


def _text(item: bytes) -> str:
    return item.decode("utf-8", errors="replace")


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
