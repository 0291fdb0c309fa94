"""Rows of a file as inputs of a model, and its answers in words."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_mtl.data import Examples, read_csv
from keras_mtl.data._columns import column
from keras_mtl.data._opened import opened


def read_rows(model: Any, path: Any) -> Examples:
    """The inputs of a model from a .csv, .jsonl or .txt file (one text a line).

    Raises:
        TypeError: If an input is neither numbers nor text.
        ValueError: If the file's kind is unknown, it is empty, or an input is not in it; names file
            and line.
    """
    path = pathlib.Path(path)
    wanted = [tensor.name for tensor in model.inputs]
    if path.suffix == ".csv":
        columns: dict[str, Any] = dict(read_csv(path))
    elif path.suffix == ".jsonl":
        columns = _jsonl(path, wanted)
    elif path.suffix == ".txt":
        with opened(path, "text") as file:
            texts = [line.rstrip("\n") for line in file if line.strip()]
        split = wanted == ["tokens"]
        columns = {wanted[0]: [text.split() for text in texts] if split else texts}
    else:
        raise ValueError(f"{path} is neither .csv, .jsonl nor .txt.")
    absent = [name for name in wanted if name not in columns]
    if absent:
        raise ValueError(f"{path} has no {absent}; the model takes the inputs {wanted}.")
    try:
        return Examples({name: column(columns[name]) for name in wanted}, {}, allow_nan=True)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{path}: {error}") from None


def answers(model: Any, rows: Examples, batch_size: int = 64) -> Iterator[dict[str, Any]]:
    """For each row and task: the label and its probability, the tags, or the numbers."""
    done = 0
    for inputs, _ in rows.dataset(batch_size):
        served = {k: np.asarray(v) for k, v in model.predict_on_batch(inputs).items()}
        size = len(next(iter(served.values())))
        for i in range(size):
            length = len(rows.inputs["tokens"][done + i]) if "tokens" in rows.inputs else None
            yield {
                name: _answer(model, name, out[i : i + 1], length) for name, out in served.items()
            }
        done += size


def _answer(model: Any, name: str, served: np.ndarray, length: int | None) -> Any:
    task = model.tasks.get(name)
    if task is None or task.classes is None:
        return np.round(served[0].astype(float), 6).tolist()
    if task.keeps_positions:
        served = served[:, :length]
    labels = task.decode(task.labels_from(served)[0])
    if task.keeps_positions:
        return labels
    if task.elementwise or len(labels) != 1:
        return {c: round(float(p), 6) for c, p in zip(task.classes, served[0], strict=True)}
    best = (
        float(np.max(served))
        if served.shape[-1] > 1
        else float(max(served[0, 0], 1 - served[0, 0]))
    )
    return {"label": labels[0], "probability": round(best, 6)}


def _jsonl(path: pathlib.Path, wanted: list[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in wanted}
    with opened(path, "JSON lines") as file:
        # Not splitlines(): a text may hold a character that it takes for the end of a line.
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                for name in wanted:
                    columns[name].append(row[name])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise ValueError(
                    f"{path}:{number} is not a JSON object with the keys {wanted}: {error!r}."
                ) from None
    return columns
