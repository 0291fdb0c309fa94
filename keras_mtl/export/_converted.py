"""What a conversion gives: a file that another program runs, and how its answers compare."""

import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_mtl.data import Examples
from keras_mtl.evaluation import BeforeAndAfter, before_and_after, evaluate
from keras_mtl.evaluation.report import write_json
from keras_mtl.export._rows import checked_rows, made_up

Specs = Mapping[str, tf.TensorSpec]
Run = Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]]


class Converted:
    """A file that was converted from a model, and run; prints as a table.

    Attributes:
        path: The file.
        size: Its bytes.
        difference: The largest difference between an answer of the file and the model's own, on
            the first batch of `evaluate_on`, or else on rows at random.
        report: The metrics of each task before (the model) and after (the file, run by the
            independent runtime); None without `evaluate_on`.
    """

    def __init__(
        self, path: pathlib.Path, size: int, difference: float, report: BeforeAndAfter | None
    ):
        self.path = path
        self.size = size
        self.difference = difference
        self.report = report

    def __str__(self) -> str:
        told = (
            f"{self.path}: {self.size:,} bytes, answers as the model's within {self.difference:.1e}"
        )
        return told if self.report is None else f"{told}\n{self.report}"

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python; `tasks` is None where nothing was judged."""
        return {
            "file": str(self.path),
            "bytes": self.size,
            "difference": self.difference,
            "tasks": None if self.report is None else self.report.to_dict(),
        }

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all.

        Raises:
            OSError: If the file cannot be written.
        """
        return write_json(self.to_dict(), path)


class Conversion(NamedTuple):
    """A converted model that is not written yet.

    Attributes:
        format: What people call the format.
        content: The bytes of the file.
        specs: What it takes, by input name.
        run: Has the format's own runtime answer rows: arrays by input name to arrays by task name.
        exact: Whether its answers are to be the model's, but for rounding.
    """

    format: str
    content: bytes
    specs: Specs
    run: Run
    exact: bool = True


def check_model(model: Any, function: str) -> None:
    """Raises a `TypeError` for what is no `MultiTaskModel`."""
    if not isinstance(model, keras.Model) or not getattr(model, "task_names", None):
        raise TypeError(
            f"{function} takes a keras_mtl.MultiTaskModel, but came a {type(model).__name__}; for "
            "any other Keras model use its own `export`."
        )


def refuse_text(specs: Specs, format: str) -> None:
    """Raises a `ValueError` that names the inputs that are text."""
    texts = [name for name, spec in specs.items() if spec.dtype == tf.string]
    if texts:
        raise ValueError(
            f"The model's inputs {texts} are text, for which {format} has no operations; look the "
            "words up beforehand and build the model on their numbers, or serve what "
            "export.saved_model writes."
        )


def write_converted(model: Any, path: Any, conversion: Conversion, evaluate_on: Any) -> Converted:
    """Writes a converted model whole or not at all, once it has been run and compared.

    Args:
        model: The model it was made from.
        path: The file to write.
        conversion: What was made of it.
        evaluate_on: Labelled data to judge both by, or None.

    Raises:
        ValueError: If it cannot be run, or answers otherwise than the model; no file is written.
        OSError: If the file cannot be written.
    """
    if isinstance(evaluate_on, Iterator):
        evaluate_on = list(evaluate_on)
    difference = _tried(model, conversion, evaluate_on)
    report = None
    if evaluate_on is not None:
        there = _Elsewhere(model, conversion)
        report = before_and_after(evaluate(model, evaluate_on), evaluate(there, evaluate_on))
    path = _write_bytes(pathlib.Path(path), conversion.content)
    return Converted(path, len(conversion.content), difference, report)


def check_evaluate_on(model: Any, evaluate_on: Any) -> None:
    """Raises a `ValueError` if none of the model's outputs can be judged."""
    if evaluate_on is not None and not model.tasks:
        raise ValueError(
            f"`evaluate_on` came for a model none of whose outputs {model.task_names} has a task "
            "object, which knows how to judge; name them in MultiTaskModel(..., tasks=[...]), or "
            "leave it out."
        )


def input_batches(argument: str, data: Any, specs: Specs) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of data in any of their forms, as arrays by input name.

    Args:
        argument: What the user calls the data.
        data: `Examples`, batches of `(inputs, labels)` or of inputs, or arrays.
        specs: What the inputs are.

    Raises:
        ValueError: If names or shapes are not those of the inputs.
    """
    batches: Iterable[Any] = data
    if isinstance(data, Examples):
        batches = data.dataset(64)
    elif isinstance(data, (Mapping, np.ndarray)):
        batches = [data]
    for batch in batches:
        inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
        yield named_rows(argument, inputs, specs)


def named_rows(argument: str, inputs: Any, specs: Specs) -> dict[str, np.ndarray]:
    """Rows as arrays by input name, in the dtypes and ranks that the model takes them in."""
    if not isinstance(inputs, Mapping):
        inputs = dict.fromkeys(specs, inputs) if len(specs) == 1 else inputs
    if isinstance(inputs, Mapping):
        # Data may hold more than this model reads, and Keras takes (B,) for (B, 1).
        inputs = {
            name: _column(np.asarray(inputs[name]), spec)
            for name, spec in specs.items()
            if name in inputs
        }
    return checked_rows(argument, inputs, specs)


class _Elsewhere:
    """What `evaluate` reads of a model, answered by another runtime."""

    compiled = False
    layers = ()

    def __init__(self, model: Any, conversion: Conversion):
        self.tasks = model.tasks
        self.task_names = model.task_names
        self._conversion = conversion

    def predict_on_batch(self, inputs: Any) -> Mapping[str, np.ndarray]:
        specs = self._conversion.specs
        return self._conversion.run(named_rows("evaluate_on", inputs, specs))


def _tried(model: Any, conversion: Conversion, data: Any) -> float:
    """The largest difference from the model's own answers on a few rows."""
    if data is None:
        rows = _at_random(conversion.specs)
    else:
        rows = next(input_batches("evaluate_on", data, conversion.specs))
    answers = conversion.run(rows)
    expected = model.predict_on_batch(rows)
    if set(answers) != set(model.task_names):
        raise ValueError(
            f"The {conversion.format} file would answer {sorted(answers)}, and the model answers "
            f"{model.task_names}; this conversion has lost names, please report it."
        )
    largest = 0.0
    for task in model.task_names:
        ours, theirs = np.asarray(expected[task], "float64"), np.asarray(answers[task], "float64")
        apart = _apart(ours, theirs)
        scale = max(1.0, float(np.abs(ours[np.isfinite(ours)]).max(initial=0.0)))
        if not np.isfinite(apart) or (conversion.exact and apart > 1e-3 * scale):
            raise ValueError(
                f"The {conversion.format} file would answer task {task!r} otherwise than the model, "
                f"by up to {apart:.2g}, so it is not written; build that task of other layers, or "
                "serve what export.saved_model writes."
            )
        largest = max(largest, apart)
    return largest


def _apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    if ours.shape != theirs.shape:
        return float("inf")
    # Not a number in both is no difference, nor is the same infinity.
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(ours - theirs))
    return float(np.nan_to_num(apart, nan=np.inf).max(initial=0.0))


def _at_random(specs: Specs) -> dict[str, np.ndarray]:
    """Two rows of normal numbers; zeros where numbers are whole, as they may be places in a table."""
    rng = np.random.default_rng(0)
    rows = {}
    for name, one in made_up(specs).items():
        rows[name] = np.repeat(one, 2, axis=0)
        if one.dtype.kind == "f":
            rows[name] = rng.normal(size=rows[name].shape).astype(one.dtype)
    return rows


def _column(values: np.ndarray, spec: tf.TensorSpec) -> np.ndarray:
    if values.ndim == len(spec.shape) - 1 and spec.shape[-1] == 1:
        return values[..., None]
    return values


def _write_bytes(path: pathlib.Path, content: bytes) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        waiting.write_bytes(content)
        os.replace(waiting, path)
    finally:
        waiting.unlink(missing_ok=True)
    return path
