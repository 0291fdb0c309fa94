"""The formats that a model is converted to: how each is written, and run by its own runtime."""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras_mtl import export


def run_litert(path: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a `.tflite` file answers."""
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(path)).get_signature_runner("serving_default")(**inputs)


def run_onnx(path: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What an `.onnx` file answers."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


class Format(NamedTuple):
    """A format: its name for people, its function, its runtime, and the packages that it needs."""

    name: str
    write: Callable[..., export.Converted]
    run: Callable[[Any, dict[str, Any]], dict[str, Any]]
    packages: tuple[str, ...]


FORMATS = {
    "litert": Format("LiteRT", export.litert, run_litert, ("ai_edge_litert",)),
    "onnx": Format("ONNX", export.onnx, run_onnx, ("tf2onnx", "onnx", "onnxruntime")),
}
