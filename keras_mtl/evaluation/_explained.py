"""What `explain` is asked, checked: rows, tasks, classes and baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._by_name import as_text
from keras_mtl._input_gradients import input_tensors
from keras_mtl._labels import MISSING
from keras_mtl._names import nearest, refuse_unknown
from keras_mtl.data import Examples
from keras_mtl.data._columns import Column, column
from keras_mtl.data._columns import Sequences as SequenceColumn
from keras_mtl.evaluation._by_input import by_input


def inputs_and_labels(
    model: Any, x: Any, y: Any
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows by input name and labels by task name, sequences padded to the longest.

    Raises:
        TypeError: If the model has no tasks, or `x` is not rows.
        ValueError: If an input is missing or holds infinite numbers, numbers of rows differ, or
            there is no row.
    """
    if not isinstance(getattr(model, "task_names", None), list):
        raise TypeError(
            f"`model` is a {type(model).__name__}; expected a MultiTaskModel, which "
            "keras_mtl.MultiTaskModel(inputs, outputs) makes of any functional model."
        )
    if isinstance(x, Examples):
        y = x.labels if y is None else y
        x = x.inputs
    if not isinstance(x, (Mapping, np.ndarray, list, tuple)):
        raise TypeError(
            f"`x` came as a {type(x).__name__}; expected keras_mtl.data.Examples, arrays by input "
            "name, or an array for the only input."
        )
    given, symbols = by_input(model, x), input_tensors(model)
    names = list(symbols)
    if not isinstance(x, Mapping):
        given = dict(zip(names, given.values(), strict=True))
    absent = [name for name in names if name not in given]
    if absent:
        near = nearest(absent[0], list(given))
        raise ValueError(
            f"`x` has no input {absent[0]!r}; the model reads {names}"
            + (f", and `x` has {near!r}." if near else ".")
        )
    inputs = {}
    for name, symbol in symbols.items():
        values = _padded(_column(given[name]), labels=False)
        if (values.dtype.kind in "OUS") != (symbol.dtype == "string"):
            raise ValueError(
                f"Input {name!r} came as {values.dtype}; expected {symbol.dtype}, which the model reads."
            )
        whole = values.dtype.kind in "iu" and symbol.dtype.startswith("float")
        inputs[name] = values.astype("float32") if whole else values
    labels = {name: _padded(column(values), labels=True) for name, values in (y or {}).items()}
    lengths = {len(values) for values in (*inputs.values(), *labels.values())}
    if len(lengths) > 1 or 0 in lengths:
        told = {name: len(values) for name, values in {**inputs, **labels}.items()}
        raise ValueError(
            f"The rows of inputs and labels are {told}; expected as many of each, not 0."
        )
    for name, values in inputs.items():
        if values.dtype.kind == "f" and np.isinf(values).any():
            raise ValueError(
                f"Input {name!r} holds an infinite number in row "
                f"{int(np.argwhere(np.isinf(values))[0][0])}; expected finite ones, or NaN where "
                "the encoder takes it for not known."
            )
    return inputs, labels


def chosen_tasks(model: Any, task: Any, labels: Mapping[str, Any] | None) -> list[str]:
    """The tasks to explain, in the model's order; with `labels` those that can be scored.

    Raises:
        ValueError: If one is unknown, or cannot be scored.
    """
    if task is not None:
        wanted = [task] if isinstance(task, str) else list(task)
        refuse_unknown("task", wanted, model.task_names)
        if not wanted:
            raise ValueError(f"`task` is empty; expected some of {model.task_names}, or None.")
    else:
        wanted = [
            n for n in model.task_names if labels is None or (n in labels and n in model.tasks)
        ]
    if labels is not None:
        lacking = [n for n in wanted if n not in labels or n not in model.tasks]
        if lacking or not wanted:
            raise ValueError(
                f"Permutation importance needs labels and a task object of {lacking or 'some task'}; "
                f"there are labels of {list(labels)} and task objects of {list(model.tasks)}: give "
                "`y` by task name, and describe outputs of your own by MultiTaskModel(tasks=...)."
            )
    return [name for name in model.task_names if name in wanted]


def by_task(target: Any, names: Sequence[str]) -> dict[str, Any]:
    """What is to be explained of each task, where it is told.

    Raises:
        ValueError: If it is told of a task that is not explained, or of none of several.
    """
    if target is None:
        return {}
    if isinstance(target, Mapping):
        refuse_unknown("target", target, list(names))
        return dict(target)
    if len(names) > 1:
        raise ValueError(
            f"`target` is {target!r}, but the tasks {list(names)} are explained; expected "
            "{task: class}, or one task alone."
        )
    return {names[0]: target}


def baseline_by_input(baseline: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The baseline of each input, where it is told.

    Raises:
        ValueError: If it is of an unknown input, of none of several, of another shape, or no value
            of that input.
    """
    if baseline is None:
        return {}
    if not isinstance(baseline, Mapping):
        if len(inputs) > 1:
            raise ValueError(f"`baseline` must be a dict of some of the inputs {list(inputs)}.")
        baseline = dict.fromkeys(inputs, baseline)
    refuse_unknown("baseline", baseline, list(inputs))
    for name, told in baseline.items():
        values, given = inputs[name], np.asarray(told)
        text = values.dtype.kind in "OUS"
        fine = text == (given.dtype.kind in "OUS") and (text or np.isfinite(given).all())
        try:
            np.broadcast_to(given, values.shape)
        except ValueError:
            fine = False
        if not fine:
            raise ValueError(
                f"`baseline` of input {name!r} is {given.dtype} of shape {given.shape}; expected "
                f"{'text' if text else 'finite numbers'} that fit rows of shape {values.shape}."
            )
    return dict(baseline)


def check_numbers(method: str, methods: Sequence[str], **numbers: int) -> None:
    """Refuses an unknown method, and numbers that are not positive whole ones."""
    if method not in methods:
        near = nearest(str(method), methods)
        raise ValueError(
            f"`method` is {method!r}; expected one of {list(methods)}"
            + (f"; did you mean {near!r}?" if near else ".")
        )
    for name, number in numbers.items():
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or number < 1:
            raise ValueError(f"`{name}` is {number!r}; expected a positive whole number.")


def answers_of(
    model: Any, inputs: Mapping[str, np.ndarray], names: Sequence[str], batch_size: int
) -> dict[str, np.ndarray]:
    """The served outputs `(n, ...)` of some tasks.

    Raises:
        ValueError: If an answer is not a finite number.
    """
    n = len(next(iter(inputs.values())))
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for i in range(0, n, batch_size):
        answers = model.predict_on_batch({k: v[i : i + batch_size] for k, v in inputs.items()})
        for name in names:
            parts[name].append(np.asarray(answers[name], "float32"))
    longest = {
        name: max((p.shape[1:2] for p in found), default=()) for name, found in parts.items()
    }
    served = {}
    for name, found in parts.items():
        # Texts that are cut inside are as long as the longest of their batch.
        found = [
            p
            if p.shape[1:2] == longest[name] or p.ndim < 3
            else np.pad(p, [(0, 0), (0, longest[name][0] - p.shape[1])] + [(0, 0)] * (p.ndim - 2))
            for p in found
        ]
        served[name] = np.concatenate(found)
        bad = ~np.isfinite(served[name]).reshape(n, -1).all(axis=1)
        if bad.any():
            raise ValueError(
                f"Task {name!r} answers row {int(np.argmax(bad))} by a number that is not finite; "
                "look for NaN in inputs whose encoder does not take it, or for a model that diverged."
            )
    return served


def there_in(inputs: Mapping[str, np.ndarray], served: np.ndarray) -> np.ndarray | None:
    """Which positions of a sequence task's answer are words and no padding, if an input tells."""
    for values in inputs.values():
        if served.ndim > 2 and values.dtype.kind in "OUS" and values.shape == served.shape[:2]:
            return values != ""
    return None


def _column(given: Any) -> Column:
    words = isinstance(given, np.ndarray) and given.ndim > 1 and given.dtype.kind == "O"
    # An array of words stays one, which `column` knows by its type.
    return as_text(given).astype(object) if words else column(given)


def _padded(values: Column, *, labels: bool) -> np.ndarray:
    if not isinstance(values, SequenceColumn):
        return values
    fill: Any = MISSING if labels else 0
    if values.dtype == object:
        fill = ""
    elif labels and values.dtype.kind == "f":
        fill = np.nan
    rows = np.full((len(values), max(int(values.lengths.max()), 1)), fill, values.dtype)
    for i in range(len(values)):
        rows[i, : values.lengths[i]] = values[i]
    return rows
