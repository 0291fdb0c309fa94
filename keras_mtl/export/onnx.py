"""An ONNX file, for ONNX Runtime and whatever else reads the format."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl._extra import extra_module
from keras_mtl.export._converted import (
    Conversion,
    Converted,
    check_evaluate_on,
    check_model,
    refuse_text,
    write_converted,
)
from keras_mtl.export._signatures import DEFAULT, Signature, signatures


def onnx(model: Any, path: Any, *, opset: int | None = None, evaluate_on: Any = None) -> Converted:
    """Writes an `.onnx` file, inputs and outputs under their names.

    Batch and sequence length are free, as in the model. The graph is converted by tf2onnx, which
    does not tell of every operation that it lacks; so the file is run by ONNX Runtime before it is
    written.

    Args:
        model: A `MultiTaskModel`.
        path: The file; it is there whole or not at all.
        opset: The version of ONNX's operations; None leaves the choice to tf2onnx.
        evaluate_on: Examples or batches of `(inputs, labels)` to judge each task by, before and
            after.

    Returns:
        The file, its size, and the metrics before and after if `evaluate_on` is given.

    Raises:
        TypeError: If `model` is no multi-task model.
        ValueError: If the model cannot be converted: it takes text, or has a layer for which ONNX
            has no operations in this `opset`.
        ImportError: If tf2onnx or ONNX Runtime is not installed.
        OSError: If the file cannot be written.

    Reference: ONNX, https://onnx.ai; tf2onnx, https://github.com/onnx/tensorflow-onnx.
    """
    check_model(model, "export.onnx")
    check_evaluate_on(model, evaluate_on)
    converter = extra_module("tf2onnx", "onnx", "An ONNX file")
    runtime = extra_module("onnxruntime", "onnx", "An ONNX file")
    signature = signatures(model)[DEFAULT]
    refuse_text(signature.specs, "ONNX")
    content = _convert(converter, signature, opset)
    with _explained():
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(rows: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        names = [output.name for output in session.get_outputs()]
        with _explained():
            return dict(zip(names, session.run(names, rows), strict=True))

    return write_converted(
        model, path, Conversion("ONNX", content, signature.specs, run), evaluate_on
    )


def _convert(converter: Any, signature: Signature, opset: int | None) -> bytes:
    # The names of these specs become those of the graph's inputs.
    specs = {
        name: tf.TensorSpec(spec.shape, spec.dtype, name=name)
        for name, spec in signature.specs.items()
    }
    with _explained():
        graph, _ = converter.convert.from_function(
            tf.function(signature.answer), input_signature=[specs], opset=opset
        )
    for value in [*graph.graph.input, *graph.graph.output]:
        first = value.type.tensor_type.shape.dim[:1]
        if first and first[0].dim_param:
            first[0].dim_param = "batch"
    content: bytes = graph.SerializeToString()
    return content


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    state = extra_module("onnxruntime.capi.onnxruntime_pybind11_state", "onnx", "An ONNX file")
    unfit = (state.Fail, state.InvalidArgument, state.InvalidGraph, state.NotImplemented)
    try:
        yield
    except (ValueError, state.RuntimeException, *unfit) as error:
        raise ValueError(
            f"The model cannot be converted to ONNX ({str(error).strip().splitlines()[0]}); give another "
            "`opset`, build it of other layers, or serve what export.saved_model writes."
        ) from error
