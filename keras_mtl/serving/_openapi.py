"""What `/openapi.json` says of each path: the forms of bodies and answers."""

from typing import Any

_ERROR = {
    "description": "An error, in one sentence.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"error": {"type": "string"}},
                "required": ["error"],
            }
        }
    },
}
_NAME = {"signature_name": {"type": "string", "description": "serving_default if left out."}}


def _answer(description: str, schema: dict[str, Any], kind: str = "application/json") -> Any:
    return {
        "responses": {
            200: {"description": description, "content": {kind: {"schema": schema}}},
            "4XX": _ERROR,
            503: _ERROR,
        }
    }


def _form(key: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {**_NAME, key: value}, "required": [key]}


PREDICT: dict[str, Any] = {
    "summary": "Every task's answer.",
    **_answer(
        "`predictions` for `instances`, `outputs` for `inputs`.",
        {"type": "object", "properties": {"predictions": {"type": "array"}, "outputs": {}}},
    ),
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            _form("instances", {"type": "array", "items": {}, "minItems": 1}),
                            _form("inputs", {"description": "A list, or an object of lists."}),
                        ]
                    }
                }
            },
        }
    },
}
STATUS: dict[str, Any] = {
    "summary": "The state of the versions.",
    **_answer(
        "Newest first.",
        {"type": "object", "properties": {"model_version_status": {"type": "array", "items": {}}}},
    ),
}
METADATA: dict[str, Any] = {
    "summary": "The signatures: names, types and shapes.",
    **_answer(
        "As TF Serving gives it.",
        {"type": "object", "properties": {"model_spec": {}, "metadata": {}}},
    ),
}
LABELS: dict[str, Any] = {
    "summary": "What the numbers mean: every task's kind, classes, dimensions and units.",
    **_answer("By task; empty if the export told nothing.", {"type": "object"}),
}
MODELS: dict[str, Any] = {
    "summary": "The name of the model that is served.",
    **_answer(
        "A list of one.",
        {"type": "object", "properties": {"models": {"type": "array", "items": {}}}},
    ),
}
HEALTH: dict[str, Any] = {
    "summary": "Whether a version is there to answer; asks for no token.",
    **_answer("It is.", {"type": "object", "properties": {"status": {"type": "string"}}}),
}
METRICS: dict[str, Any] = {
    "summary": "For Prometheus.",
    **_answer("Its text form.", {"type": "string"}, "text/plain"),
}
