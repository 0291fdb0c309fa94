"""Each class by itself: how often what is marked is right, and what is there is found."""

import numpy as np

from keras_mtl.reporting._content import Block, Cell, Note, Part, Section, Table
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._spans import span_counts
from keras_mtl.reporting._subject import Subject

MOST = 40
_KINDS = (Kind.YES_NO, Kind.ONE_CLASS, Kind.CLASSES, Kind.TAGS)


def section(subject: Subject) -> Section | None:
    """A table of each task with classes; of tags, by type of span."""
    parts = []
    for judged in subject.detailed:
        if judged.kind not in _KINDS:
            continue
        counts = class_counts(judged)
        named = "span" if judged.kind is Kind.TAGS else "class"
        rows = [_row(name, *found) for name, found in counts.items()]
        blocks: list[Block] = []
        if len(rows) > MOST:
            rows = sorted(
                sorted(rows, key=lambda row: -_number(row[4]))[:MOST],
                key=lambda row: _number(row[3]),
            )
            blocks = [Note(f"The {MOST} most frequent of {len(counts)}, those of least F1 first.")]
        if rows:
            columns = [named, "precision", "recall", "F1", "true", "predicted"]
            parts.append(Part(judged.name, [*blocks, Table(columns, rows)]))
        else:
            parts.append(
                Part(judged.name, [Note("There is no span in these rows, true or predicted.")])
            )
    if not parts:
        return None
    intro = (
        "Precision is the share of what was predicted that is true, recall the share of what is true "
        "that was predicted, F1 their harmonic mean. A span is right where type, beginning and end are."
        + subject.left_out
    )
    return Section("Class by class", intro, parts)


def class_counts(judged: Judged) -> dict[str, tuple[int, int, int]]:
    """By class or type of span: how many are right, said, and true."""
    if judged.kind is Kind.TAGS:
        return {
            name: (int(one[0]), int(one[1]), int(one[2]))
            for name, found in span_counts(judged).items()
            for one in [found.sum(axis=0)]
        }
    found = {}
    for i, name in enumerate(judged.classes):
        if judged.kind is Kind.CLASSES:
            there = judged.ids[:, i] != -1
            true, said = judged.ids[there, i] == 1, judged.decided[there, i] == 1
        else:
            true, said = judged.ids == i, judged.decided == i
        found[name] = (int(np.sum(true & said)), int(np.sum(said)), int(np.sum(true)))
    return found


def _row(name: str, right: int, said: int, true: int) -> list[Cell]:
    return [
        name,
        right / said if said else None,
        right / true if true else None,
        2 * right / (said + true) if said + true else None,
        true,
        said,
    ]


def _number(cell: Cell) -> float:
    return cell if isinstance(cell, (int, float)) else 0.0
