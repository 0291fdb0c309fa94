"""What the model was trained and judged on: rows, inputs, and which labels are there."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl.reporting._content import Bars, Block, Cell, Note, Part, Section, Table
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._subject import Subject

MOST = 20
_INPUTS = 40
JUDGED = "judged here"


def section(subject: Subject) -> Section:
    """Tables of parts, labels and inputs, and how labels of each task are distributed."""
    parts: dict[str, Any] = {}
    if subject.run is not None:
        parts = dict((subject.run.about.get("data") or {}).get("parts") or {})
    blocks: list[Block] = [_labels(subject, parts)]
    inputs = _inputs(subject)
    blocks.append(Table(["input", "shape of a row", "type"], inputs[:_INPUTS]))
    if len(inputs) > _INPUTS:
        blocks.append(Note(f"The first {_INPUTS} of {len(inputs)} inputs."))
    found = [Part("", blocks)]
    for judged in subject.detailed:
        block = _distribution(judged)
        if block:
            found.append(Part(judged.name, [block]))
    intro = (
        "How many labels of each task are there; the others are missing and were left out. Below, "
        "how the labels of the judged rows are distributed." + subject.left_out
    )
    return Section("Data", intro, found)


def _labels(subject: Subject, parts: Mapping[str, Any]) -> Table:
    """Labels that are there by task and part of the data."""
    rows: list[list[Cell]] = [
        ["(rows)", *(part.get("rows") for part in parts.values()), subject.rows, None]
    ]
    for name in subject.model.task_names:
        judged = subject.judged.get(name)
        known = subject.report.counts.get(name)
        share = len(judged.rows) / subject.rows if judged else None
        of_parts = [(part.get("labels") or {}).get(name) for part in parts.values()]
        rows.append([name, *of_parts, known, share])
    return Table(["task", *parts, JUDGED, "share of judged rows with a label"], rows)


def _inputs(subject: Subject) -> list[list[Cell]]:
    first = subject.inputs[0]
    return [[name, _shape(value), _type(value)] for name, value in first.items()]


def _shape(value: np.ndarray) -> str:
    if value.ndim == 0:
        return "one value"
    if value.ndim == 1 and value.dtype.kind in "OSU":
        return "a sequence"
    return " x ".join(map(str, value.shape))


def _type(value: np.ndarray) -> str:
    return "text" if value.dtype.kind in "OSU" else str(value.dtype)


def _distribution(judged: Judged) -> Block | None:
    if judged.kind is Kind.NUMBERS:
        true, _ = judged.numbers
        rows: list[list[Cell]] = []
        for d, name in enumerate(judged.dimensions):
            values = true[~np.isnan(true[:, d]), d]
            if len(values):
                five = [float(q) for q in np.quantile(values, [0, 0.25, 0.5, 0.75, 1])]
                rows.append([name or judged.name, *five, float(values.mean())])
        return Table(["labels", "least", "quarter", "half", "three quarters", "most", "mean"], rows)
    if judged.kind is Kind.OTHER:
        return None
    if judged.kind is Kind.CLASSES:
        counts = (judged.ids == 1).sum(axis=0)
    else:
        counts = np.bincount(judged.ids[judged.ids >= 0].ravel(), minlength=len(judged.classes))
    order = range(len(counts))
    title = "Labels by class"
    if len(counts) > MOST:
        order = np.argsort(-counts, kind="stable")[:MOST].tolist()
        title = f"The {MOST} most frequent of {len(counts)} classes"
    return Bars(title, [judged.classes[i] for i in order], [int(counts[i]) for i in order])
