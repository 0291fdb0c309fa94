"""What a model answers to labelled rows, beside their labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl import _labels
from keras_mtl.data import Examples
from keras_mtl.evaluation._by_input import by_input


def rows_of(model: Any, data: Any, y: Any = None) -> Any:
    """What `evaluate` is given, as `Examples` where rows come with `y`."""
    return data if y is None else Examples(by_input(model, data), y)


def batches_of(model: Any, data: Any, y: Any = None, batch_size: int = 64) -> Any:
    """What `evaluate` is given, as batches of `(inputs, {task: labels})`."""
    data = rows_of(model, data, y)
    return data.dataset(batch_size) if isinstance(data, Examples) else data


def answers_to(model: Any, batches: Any) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The labels and the served outputs `(n, ...)` of each task of a model, by task name.

    Rows are in the order of the batches that hold labels of the task; sequences are padded to the
    longest of them all, labels as missing.
    """
    truth: dict[str, list[np.ndarray]] = {}
    served: dict[str, list[np.ndarray]] = {}
    for batch in batches:
        labels = batch[1] if isinstance(batch[1], Mapping) else {model.task_names[0]: batch[1]}
        wanted = [name for name in labels if name in model.tasks]
        if not wanted:
            continue
        answers = model.predict_on_batch(batch[0])
        for name in wanted:
            truth.setdefault(name, []).append(np.asarray(labels[name]))
            served.setdefault(name, []).append(np.asarray(answers[name]))
    return (
        {name: _joined(parts, missing=True) for name, parts in truth.items()},
        {name: _joined(parts, missing=False) for name, parts in served.items()},
    )


def present(labels: np.ndarray, real_labels: bool) -> np.ndarray:
    """Which labels are there; of the labels' shape."""
    if labels.dtype.kind == "f":
        return ~np.isnan(labels)
    return np.ones(labels.shape, bool) if real_labels else labels != _labels.MISSING


def _joined(parts: list[np.ndarray], *, missing: bool) -> np.ndarray:
    """Batches one after the other, sequences padded to the longest of them all."""
    if parts[0].ndim > 1 and len({part.shape[1] for part in parts}) > 1:
        longest = max(part.shape[1] for part in parts)
        fill: Any = 0
        if missing:
            fill = np.nan if parts[0].dtype.kind == "f" else _labels.MISSING
        parts = [
            np.pad(
                part,
                [(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)],
                constant_values=fill,
            )
            for part in parts
        ]
    return np.concatenate(parts)
