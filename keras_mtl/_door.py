"""What `fit` is given, checked before the first step: names, lengths, ranges, finite inputs."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import keras
import numpy as np

from keras_mtl import _labels
from keras_mtl._by_name import by_task
from keras_mtl._names import refuse_unknown


def checked(model: Any, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
    """Labels and sample weights by task, checked; as they are where `x` is a data set.

    Raises:
        TypeError: If labels or weights are given by position.
        ValueError: If they do not go with the model's tasks or with the rows.
    """
    if y is None:
        check_spec(model, x)
        return None, sample_weight
    y = check_arrays(model, x, by_task("labels", y, model.label_names))
    if sample_weight is None:
        return y, None
    of_tasks = {name: value for name, value in y.items() if name in model.task_names}
    weights = by_task("sample_weight", sample_weight, model.task_names)
    return y, complete_weights(weights, of_tasks)


def check_arrays(model: Any, x: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
    """Checks arrays of inputs and labels; returns the labels by task.

    Raises:
        ValueError: If there is no row, lengths differ, an input is not finite, a label is out of
            range, or a task with a loss has no label at all.
    """
    inputs = _named_inputs(model, x)
    lengths = {f"input {name!r}": len(value) for name, value in inputs.items()}
    lengths.update({f"labels of task {name!r}": len(value) for name, value in labels.items()})
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{what}: {n}" for what, n in lengths.items())
        raise ValueError(
            f"Inputs and labels must have the same number of rows, but came as {told}."
        )
    if 0 in lengths.values():
        raise ValueError("There is no row to learn from; give at least one.")
    for name, value in inputs.items():
        _check_finite(name, value, model.accepts_missing(name))
    for name, value in labels.items():
        loss = model.task_losses.get(name)
        if loss is None:
            continue
        array = np.asarray(value)
        loss.check(array)
        if not np.any(_present(loss, array)):
            raise ValueError(
                f"All {len(array)} labels of task {name!r} are missing (NaN or -1); give it some, "
                "or leave the task out of `loss`."
            )
    return dict(labels)


def check_spec(model: Any, data: Any) -> None:
    """Checks what a `tf.data.Dataset` says of itself; other iterables are checked step by step.

    Raises:
        ValueError: If it is empty, has no labels, or names a task that the model does not have.
    """
    spec = getattr(data, "element_spec", None)
    if spec is None:
        return
    if int(data.cardinality()) == 0:
        raise ValueError("The data set is empty: it gives no batch; give at least one row.")
    if not isinstance(spec, tuple) or len(spec) < 2:
        raise ValueError(
            "The data set gives inputs without labels; expected batches of "
            "(inputs, {task: labels}) or (inputs, {task: labels}, {task: weights})."
        )
    for argument, part in zip(("labels", "sample_weight"), spec[1:], strict=False):
        if isinstance(part, Mapping):
            names = model.label_names if argument == "labels" else model.task_names
            refuse_unknown(argument, part, names)


def complete_weights(weights: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
    """Sample weights for every task that has labels; 1 where a task is not named.

    Raises:
        ValueError: If weights have another number of rows than the labels, are negative or not
            finite.
    """
    complete = {}
    for name, value in labels.items():
        rows = len(value)
        given = np.asarray(weights.get(name, np.ones(rows, "float32")), "float32")
        shape = np.shape(value)
        if given.ndim == 0 or given.shape != shape[: given.ndim]:
            raise ValueError(
                f"`sample_weight` of task {name!r} has shape {given.shape}, expected ({rows},) or "
                f"the shape of its labels {shape}."
            )
        if not np.all(np.isfinite(given)) or np.any(given < 0):
            raise ValueError(
                f"`sample_weight` of task {name!r} has a weight that is negative or not finite; "
                "use 0 to leave a row out."
            )
        complete[name] = given
    return complete


def split_class_weight(given: Any, task_names: list[str]) -> dict[str, dict[int, float]]:
    """`class_weight` by task, from `{task: {class: weight}}` or, for one task, `{class: weight}`.

    Raises:
        TypeError: If it is neither.
        ValueError: If a task is unknown.
    """
    if not given:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`class_weight` came as a {type(given).__name__}; expected "
            "{task: {class id: weight}}."
        )
    if all(isinstance(value, Mapping) for value in given.values()):
        refuse_unknown("class_weight", given, task_names)
        return {name: dict(value) for name, value in given.items()}
    if len(task_names) == 1:
        return {task_names[0]: dict(given)}
    raise TypeError(
        f"`class_weight` must say which task it is for: {{task: {{class id: weight}}}} with tasks "
        f"of {task_names}, but came as {dict(given)}."
    )


def training_labels(
    tasks: Iterable[str], x: Any, y: Mapping[str, Any] | None, steps: int | None = None
) -> dict[str, np.ndarray]:
    """All training labels of some tasks, read from arrays or by one pass over a data set.

    Raises:
        ValueError: If they cannot be read beforehand, or a task has none.
    """
    tasks = list(tasks)
    if not tasks:
        return {}
    found: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    if y is not None:
        for name in tasks:
            if name in y:
                found[name].append(np.asarray(y[name]))
    elif isinstance(x, Iterator) or not isinstance(x, Iterable):
        raise ValueError(
            f"Tasks {tasks} learn a scale or class weights from the training labels, but the data "
            "can be read once only; call `model.adapt({task: labels})` before `fit`."
        )
    else:
        for batch in islice(x, steps):
            for name in tasks:
                if name in batch[1]:
                    found[name].append(np.asarray(batch[1][name]))
    labels = {}
    for name, parts in found.items():
        same = len({part.shape[1:] for part in parts}) <= 1
        flat = [part if same else part.reshape(-1) for part in parts]
        whole = np.concatenate(flat) if flat else np.zeros(0, "int32")
        there = ~np.isnan(whole) if whole.dtype.kind == "f" else whole != _labels.MISSING
        if not np.any(there):
            raise ValueError(
                f"Task {name!r} has no label in the training data, which it needs for its scale or "
                "class weights; give it labels, or switch scaling and class weights off."
            )
        labels[name] = whole
    return labels


def _named_inputs(model: Any, x: Any) -> dict[str, Any]:
    if isinstance(x, Mapping):
        return dict(x)
    names = [tensor.name for tensor in model.inputs]
    return dict(zip(names, keras.tree.flatten(x), strict=False))


def _check_finite(name: str, value: Any, accepts_missing: bool) -> None:
    array = np.asarray(value)
    if array.dtype.kind != "f":
        return
    bad = np.isinf(array) if accepts_missing else ~np.isfinite(array)
    if np.any(bad):
        row = int(np.argwhere(bad)[0][0])
        raise ValueError(
            f"Input {name!r} has {array[bad][0]} in row {row} ({int(bad.sum())} such values in "
            "all); expected finite numbers: fill or drop them, or use encoders.Tabular, which "
            "deals with missing values."
        )


def _present(loss: Any, labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind == "f":
        return ~np.isnan(labels)
    return np.ones(labels.shape, bool) if loss.real_labels else labels != _labels.MISSING
