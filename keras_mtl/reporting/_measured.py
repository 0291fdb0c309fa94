"""What a report measures by itself if it is asked to, of so few rows that it takes seconds."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_mtl.data import Examples
from keras_mtl.evaluation import explain, gradient_cosines
from keras_mtl.reporting._subject import Subject

AFFINITY_ROWS = 1024
EXPLAINED_ROWS = 200


def with_affinity(subject: Subject, data: Any, part: str) -> Subject:
    """The same, with the cosines of the tasks' gradients; or with why there are none.

    Args:
        subject: What the report is about.
        data: `keras_mtl.data.Examples`, or batches of `(inputs, labels)`.
        part: What these rows are, such as "judged".
    """
    rows, told = _some(data, AFFINITY_ROWS)
    try:
        if len(subject.model.task_names) < 2:
            raise ValueError("The model has one task.")
        found = gradient_cosines(subject.model, rows)
    except (TypeError, ValueError) as error:
        why = f"How the tasks' gradients stand to each other was not measured. {error}"
        return dataclasses.replace(subject, affinity=None, notes={**subject.notes, "affinity": why})
    note = (
        "Cosines of the gradients of what the tasks share, a mean over batches of the model as it is: "
        f"1 the same way, -1 against each other; on {told()} {part} rows. At the end of training what is "
        "left of them cancels out, so that a value below 0 is no proof that the tasks harmed each other "
        "on the way."
    )
    return dataclasses.replace(subject, affinity=found, notes={**subject.notes, "affinity": note})


def with_explanation(subject: Subject) -> Subject:
    """The same, with integrated gradients of some of the judged rows."""
    chosen = _drawn(subject.rows, EXPLAINED_ROWS)
    rows = [subject.inputs[row] for row in chosen]
    found = explain(subject.model, {name: _column([row[name] for row in rows]) for name in rows[0]})
    note = f"Integrated gradients, on {_of(len(chosen), subject.rows)} judged rows."
    notes = {**subject.notes, "explanations": note}
    return dataclasses.replace(subject, explanations=[found], notes=notes)


def _some(data: Any, most: int) -> tuple[Any, Any]:
    """Some of the rows, and a function that tells how many they were once they have been read."""
    if isinstance(data, Examples):
        chosen = _drawn(len(data), most)
        return data.select(chosen), lambda: _of(len(chosen), len(data))
    batches = _First(data, most)
    return batches, lambda: f"the first {batches.rows:,}"


class _First:
    """The first rows of batches, as often as one reads them."""

    def __init__(self, batches: Any, most: int):
        self._batches = batches
        self._most = most
        self.rows = 0

    def __iter__(self) -> Iterator[Any]:
        self.rows = 0
        for batch in self._batches:
            left = self._most - self.rows
            if left <= 0:
                return
            kept = keras.tree.map_structure(lambda x: x[:left], batch)  # noqa: B023 (used at once)
            self.rows += len(keras.tree.flatten(kept)[0])
            yield kept


def _drawn(rows: int, most: int) -> np.ndarray:
    """Places of some of the rows: of all of them, since files are often sorted."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def _of(some: int, every: int) -> str:
    """How many of how many.

    >>> _of(200, 4000), _of(30, 30)
    ('200 of the 4,000', 'all 30')
    """
    return f"{some:,} of the {every:,}" if some < every else f"all {every:,}"


def _column(values: list[np.ndarray]) -> Any:
    """Rows of one input: an array, or a list where their lengths differ."""
    if values[0].dtype.kind in "OSU":
        values = [_decoded(value) for value in values]
    return np.stack(values) if len({value.shape for value in values}) == 1 else values


def _decoded(words: np.ndarray) -> np.ndarray:
    """Words as text, which TensorFlow keeps as bytes."""
    flat = [w.decode("utf-8", "replace") if isinstance(w, bytes) else str(w) for w in words.flat]
    return np.array(flat, object).reshape(words.shape)
