"""A LiteRT file (`.tflite`), for phones and small boards."""

import contextlib
import itertools
import pathlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_mtl._extra import extra_module
from keras_mtl.export._converted import (
    Conversion,
    Converted,
    Specs,
    check_evaluate_on,
    check_model,
    input_batches,
    refuse_text,
    write_converted,
)
from keras_mtl.export._input_names import input_names, restore_names, stand_ins
from keras_mtl.export._signatures import DEFAULT, Answer, plain, signatures

_QUANTIZATIONS = (None, "dynamic", "int8")
# Ranges of activations hardly move after that many rows.
_CALIBRATION_ROWS = 500


def litert(
    model: Any,
    path: Any,
    *,
    quantization: str | None = None,
    representative: Any = None,
    length: int | None = None,
    evaluate_on: Any = None,
) -> Converted:
    """Writes a `.tflite` file that LiteRT runs, inputs and outputs under their names.

    The file has the signature `serving_default`, which takes any number of rows. It is run by the
    independent runtime `ai_edge_litert` before it is written. Of layers that run over a sequence
    step by step (LSTM, GRU) every step is written out, so that the length has to be known.

    Args:
        model: A `MultiTaskModel`.
        path: The file; it is there whole or not at all.
        quantization: None keeps float32; "dynamic" stores weights in 8 bits and computes in
            floats; "int8" computes in 8 bits too. Inputs and outputs are float32 in each of them.
        representative: For "int8", rows as the model will see them, of which at most 500 are read:
            `keras_mtl.data.Examples`, batches of `(inputs, labels)` or of inputs, or arrays.
        length: The length of sequences, where the model takes any.
        evaluate_on: Examples or batches of `(inputs, labels)` to judge each task by, before and
            after.

    Returns:
        The file, its size, and the metrics before and after if `evaluate_on` is given.

    Raises:
        TypeError: If `model` is no multi-task model.
        ValueError: If an argument is out of range, or the model cannot be converted: it takes
            text, runs over sequences of any length step by step, or has a layer that LiteRT knows
            no operations for.
        ImportError: If `ai-edge-litert` is not installed.
        OSError: If the file cannot be written.

    Reference: LiteRT, https://ai.google.dev/edge/litert.
    """
    check_model(model, "export.litert")
    check_evaluate_on(model, evaluate_on)
    _check(quantization, representative)
    runtime = extra_module("ai_edge_litert.interpreter", "litert", "A LiteRT file")
    signature = signatures(model)[DEFAULT]
    refuse_text(signature.specs, "LiteRT")
    recurrent = _recurrent(model)
    specs = _fixed(signature.specs, length, recurrent)
    rows = None
    if quantization == "int8":
        rows = _calibration_rows(representative, specs)
    answer = _unrolled(plain(model, input_names(model)), recurrent)
    content = _convert(model, answer, specs, quantization, rows)

    def run(given: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        return _run(runtime, content, given)

    made = Conversion("LiteRT", content, specs, run, exact=quantization is None)
    return write_converted(model, path, made, evaluate_on)


def _check(quantization: str | None, representative: Any) -> None:
    if quantization not in _QUANTIZATIONS:
        raise ValueError(f'`quantization` is {quantization!r}; expected None, "dynamic" or "int8".')
    if (quantization == "int8") != (representative is not None):
        raise ValueError(
            f"`representative` came as {'rows' if representative is not None else None} with "
            f'quantization={quantization!r}; it is for "int8", which needs some rows of the training '
            "data to learn the ranges of numbers from."
        )


def _recurrent(model: Any) -> list[Any]:
    """The layers that loop over time; LiteRT has no such loop of tensors of any batch size."""
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]


def _fixed(specs: Specs, length: int | None, recurrent: list[Any]) -> dict[str, tf.TensorSpec]:
    """The specs with a length in the place of one that is free."""
    free = [name for name, spec in specs.items() if None in spec.shape[1:]]
    if length is not None and (length < 1 or not free):
        raise ValueError(
            f"`length` is {length}; expected at least 1, for a model that has sequences of any "
            f"length among its inputs {list(specs)}."
        )
    if free and recurrent and length is None:
        raise ValueError(
            f"The layers {[layer.name for layer in recurrent]} run step by step over sequences of "
            f"any length (inputs {free}), which LiteRT cannot do; give a fixed `length=`, or use a "
            "convolutional encoder."
        )
    return {
        name: tf.TensorSpec(
            (spec.shape[0], *(length if size is None else size for size in spec.shape[1:])),
            spec.dtype,
        )
        for name, spec in specs.items()
    }


def _unrolled(answer: Answer, recurrent: list[Any]) -> Answer:
    def unrolled(inputs: Any) -> dict[str, Any]:
        # In here alone, where the length is known: layers are traced by themselves, too.
        for layer in recurrent:
            layer.unroll = True
        try:
            return answer(inputs)
        finally:
            for layer in recurrent:
                layer.unroll = False

    return tf.autograph.experimental.do_not_convert(unrolled) if recurrent else answer


def _calibration_rows(data: Any, specs: Specs) -> list[dict[str, np.ndarray]]:
    """Rows one by one, the first ones of the data."""
    single = (
        {name: values[i : i + 1] for name, values in batch.items()}
        for batch in input_batches("representative", data, specs)
        for i in range(len(next(iter(batch.values()))))
    )
    rows = list(itertools.islice(single, _CALIBRATION_ROWS))
    if not rows:
        raise ValueError("`representative` is empty; give some rows of the training data.")
    return rows


def _convert(
    model: Any,
    answer: Answer,
    specs: Specs,
    quantization: str | None,
    rows: list[dict[str, np.ndarray]] | None,
) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "model"
        _write_signature(model, answer, specs, folder)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=[DEFAULT])
        if quantization is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if rows is not None:
            converter.representative_dataset = lambda: iter(rows)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        with _explained(), warnings.catch_warnings():
            # The converter's own calibration runs on the interpreter that TensorFlow gives up.
            warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter")
            content: bytes = converter.convert()
    return content


def _write_signature(model: Any, answer: Answer, specs: Specs, folder: pathlib.Path) -> None:
    """A SavedModel of this one signature, which the converter reads names from."""
    stood_in = stand_ins(specs)
    named = {
        name: tf.TensorSpec(spec.shape, spec.dtype, name=stood_in.get(name, name))
        for name, spec in specs.items()
    }
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(DEFAULT, answer, [named])
    archive.write_out(str(folder), verbose=False)
    restore_names(folder, stood_in)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    from tensorflow.lite.python.convert_phase import ConverterError

    try:
        yield
    except ConverterError as error:
        told = [line for line in str(error).splitlines() if "error: " in line] or [str(error)]
        reason = told[0].rpartition("error: ")[2].rpartition("): ")[2] or told[0]
        raise ValueError(
            f"The model cannot be converted to LiteRT ({reason}); a convolutional or a dense encoder "
            "can, and every model can be served from what export.saved_model writes."
        ) from error


def _run(runtime: Any, content: bytes, rows: dict[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    try:
        interpreter = runtime.Interpreter(model_content=content)
        answers: Mapping[str, np.ndarray] = interpreter.get_signature_runner(DEFAULT)(**rows)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"LiteRT cannot run the converted model ({str(error).splitlines()[0]}); build it of other "
            "layers, or serve what export.saved_model writes."
        ) from error
    return answers
