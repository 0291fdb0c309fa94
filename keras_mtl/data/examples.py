"""Rows in memory: named inputs and the labels of named tasks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl._labels import MISSING
from keras_mtl.data import _columns, pipeline
from keras_mtl.data._columns import Column, Sequences


class Examples:
    """Inputs and labels of some rows, checked, ready to become batches.

    Args:
        inputs: By input name, `(n, ...)` arrays, or lists of sequences of different lengths.
        labels: By task name, the same; NaN, or -1 in integers, where a label is missing.
        weights: By task name, `(n,)` weights; a task that is not named weighs every row 1.
        allow_nan: Whether float inputs may hold NaN, as `encoders.Tabular` takes them.

    Attributes:
        inputs: Columns by input name.
        labels: Columns by task name.
        weights: Columns by task name, of every task or of none.
        classes: Class names by task name, where a loader knows them.

    Raises:
        TypeError: If a column is neither numbers, text nor sequences of them.
        ValueError: If there is no row, numbers of rows differ, inputs are not finite, or a task has
            no label.

    Example:

    >>> rows = Examples({"x": [[0.0], [1.0]]}, {"sold": [1, -1]})
    >>> inputs, labels = next(iter(rows.dataset(batch_size=2)))
    >>> labels["sold"].numpy()
    array([ 1, -1], dtype=int32)
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        labels: Mapping[str, Any],
        weights: Mapping[str, Any] | None = None,
        *,
        allow_nan: bool = False,
    ):
        self.inputs = _columns_of("input", inputs)
        self.labels = _columns_of("labels of task", labels)
        self.weights = _columns_of("weights of task", weights or {})
        self.allow_nan = allow_nan
        self.classes: dict[str, list[str]] = {}
        self._check()
        if self.weights:
            ones = {name: np.ones(len(self), "float32") for name in self.labels}
            self.weights = {**ones, **self.weights}

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def __repr__(self) -> str:
        return f"Examples({len(self)} rows, inputs {list(self.inputs)}, tasks {list(self.labels)})"

    def select(self, rows: Any) -> "Examples":
        """Some of the rows, in the order of `rows`; everything else stays as it is."""
        rows = np.asarray(rows)
        chosen = object.__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        for part in ("inputs", "labels", "weights"):
            columns = getattr(self, part)
            setattr(chosen, part, {k: _columns.select(c, rows) for k, c in columns.items()})
        return chosen

    def dataset(
        self,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        bucket: bool = False,
        repeat: bool = False,
        drop_remainder: bool = False,
    ) -> tf.data.Dataset:
        """Batches of `(inputs, labels)` or `(inputs, labels, weights)`, dicts all.

        Sequences are padded to the longest of the batch: text with "", integer labels with -1,
        float labels with NaN, other inputs with 0.

        Args:
            batch_size: Rows a batch.
            shuffle: In a new order each epoch.
            seed: Makes those orders repeatable.
            bucket: Batches sequences of about one length together, which saves padding.
            repeat: Without end.
            drop_remainder: Leaves out a last batch that is not full.

        Raises:
            ValueError: If `batch_size` is not positive, or there is no sequence to bucket by.
        """
        lengths = None
        if bucket:
            sequences = [c for c in self.inputs.values() if isinstance(c, Sequences)]
            if not sequences:
                raise ValueError(
                    "`bucket=True` groups sequences by length, but no input is a list of sequences; "
                    "leave it out."
                )
            lengths = sequences[0].lengths
        batches = pipeline.index_batches(
            len(self), batch_size, shuffle=shuffle, seed=seed, lengths=lengths,
            repeat=repeat, drop_remainder=drop_remainder,
        )  # fmt: skip
        return batches.map(self.gather(), tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def gather(self) -> Any:
        """A function from row indices `(B,)` to a batch, for use in a `tf.data` pipeline."""
        inputs = {name: pipeline.taker(c, 0) for name, c in self.inputs.items()}
        labels = {name: pipeline.taker(c, MISSING) for name, c in self.labels.items()}
        weights = {name: pipeline.taker(c, 0) for name, c in self.weights.items()}

        def batch(rows: Any) -> Any:
            parts = [{n: take(rows) for n, take in p.items()} for p in (inputs, labels)]
            if weights:
                parts.append({n: take(rows) for n, take in weights.items()})
            return tuple(parts)

        return batch

    def _check(self) -> None:
        if not self.inputs:
            raise ValueError("`inputs` is empty; give at least one input.")
        unknown = [name for name in self.weights if name not in self.labels]
        if unknown:
            raise ValueError(
                f"`weights` names the tasks {unknown}, but labels are of {list(self.labels)}."
            )
        rows = {f"input {n!r}": len(c) for n, c in self.inputs.items()}
        rows.update({f"labels of task {n!r}": len(c) for n, c in self.labels.items()})
        rows.update({f"weights of task {n!r}": len(c) for n, c in self.weights.items()})
        if len(set(rows.values())) > 1:
            told = ", ".join(f"{what}: {n}" for what, n in rows.items())
            raise ValueError(f"All columns must have the same number of rows, but came as {told}.")
        if len(self) == 0:
            raise ValueError("The data are empty: there is no row; give at least one.")
        for name, values in self.inputs.items():
            self._check_finite(name, values)
        for name, values in self.labels.items():
            _check_labels(name, values)

    def _check_finite(self, name: str, values: Column) -> None:
        flat = values.values if isinstance(values, Sequences) else values
        if flat.dtype.kind != "f":
            return
        bad = np.isinf(flat) if self.allow_nan else ~np.isfinite(flat)
        if bad.any():
            place = int(np.argwhere(bad)[0][0])
            if isinstance(values, Sequences):
                place = int(np.searchsorted(values.splits, place, side="right")) - 1
            raise ValueError(
                f"Input {name!r} has {flat[bad][0]} in row {place} ({int(bad.sum())} such values in "
                "all); expected finite numbers: fill or drop them, or say allow_nan=True where the "
                "encoder deals with missing values, as encoders.Tabular does."
            )


def _columns_of(what: str, given: Mapping[str, Any]) -> dict[str, Column]:
    columns = {}
    for name, values in given.items():
        try:
            columns[str(name)] = _columns.column(values)
        except (TypeError, ValueError) as error:
            raise TypeError(f"The {what} {name!r} cannot be used: {error}.") from None
    return columns


def _check_labels(task: str, values: Column) -> None:
    flat = values.values if isinstance(values, Sequences) else values
    if flat.dtype == object:
        raise TypeError(
            f"Labels of task {task!r} are text ({flat.reshape(-1)[0]!r}, ...); expected class ids "
            "or numbers: use data.from_frame, data.from_csv or data.from_tokens, which turn names "
            "into ids."
        )
    there = ~np.isnan(flat) if flat.dtype.kind == "f" else flat != MISSING
    if not there.any():
        raise ValueError(
            f"All {len(values)} labels of task {task!r} are missing (NaN or -1); give it some, or "
            "leave the task out."
        )
    if flat.dtype.kind == "f" and np.isinf(flat).any():
        raise ValueError(
            f"Labels of task {task!r} hold an infinite number; correct it, or make it NaN if it is "
            "not known."
        )
