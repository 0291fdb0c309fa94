"""Which classes a model takes for which."""

import numpy as np

from keras_mtl.reporting._content import Block, Matrix, Note, Part, Section, Table
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._subject import Subject

LARGEST = 20
_PAIRS = 10
_OTHERS, _UNKNOWN = "(all others)", "(unknown class)"


def section(subject: Subject) -> Section | None:
    """A matrix of each task with classes or tags."""
    parts = [
        Part(one.name, _blocks(one))
        for one in subject.detailed
        if one.kind in (Kind.YES_NO, Kind.ONE_CLASS, Kind.TAGS)
    ]
    if not parts:
        return None
    intro = (
        "Counts of labels by what is true (rows) and what was predicted (columns); colours tell the "
        "share of the row. What is not on the diagonal is an error." + subject.left_out
    )
    return Section("Confusion", intro, parts)


def confusion(judged: Judged) -> tuple[list[str], np.ndarray]:
    """Names and counts `(C, C)`, or `(C + 1, C + 1)` where labels are of unknown classes."""
    there = judged.there if judged.kind is Kind.TAGS else judged.ids != -1
    true, said = judged.ids[there], judged.decided[there]
    names = list(judged.classes)
    if (true < 0).any():
        names.append(_UNKNOWN)
        true = np.where(true < 0, len(names) - 1, true)
    size = len(names)
    counts = np.bincount(true * size + said, minlength=size * size).reshape(size, size)
    return names, counts


def _blocks(judged: Judged) -> list[Block]:
    names, counts = confusion(judged)
    blocks: list[Block] = []
    what = "tag" if judged.kind is Kind.TAGS else "class"
    names_shown, shown = names, counts
    if len(names) > LARGEST:
        names_shown, shown = _largest(names, counts)
        blocks.append(
            Note(
                f"Of {len(names)} {'tags' if what == 'tag' else 'classes'}, the {LARGEST} with most "
                f"errors have a row of their own; the others are counted together, their errors "
                "among each other as if right."
            )
        )
    blocks.append(
        Matrix(
            "True and predicted",
            names_shown,
            names_shown,
            shown,
            f"true {what}",
            f"predicted {what}",
            by_row=True,
        )
    )
    if len(names) > 3 and (pairs := _pairs(names, counts)):
        blocks.append(
            Table(
                ["true", "predicted", "times", "share of the true"], pairs, "Most frequent errors"
            )
        )
    return blocks


def _largest(names: list[str], counts: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Classes with most errors as they are, the others as one."""
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    chosen = np.sort(np.argsort(-errors, kind="stable")[:LARGEST])
    group = np.full(len(names), LARGEST)
    group[chosen] = np.arange(LARGEST)
    folded = np.zeros((LARGEST + 1, LARGEST + 1), counts.dtype)
    np.add.at(folded, (group[:, None], group[None, :]), counts)
    return [*(names[i] for i in chosen), _OTHERS], folded


def _pairs(names: list[str], counts: np.ndarray) -> list[list[str | int | float]]:
    beside = counts - np.diag(np.diag(counts))
    order = np.argsort(-beside, axis=None, kind="stable")[:_PAIRS]
    rows = counts.sum(axis=1)
    found = [divmod(int(place), len(names)) for place in order]
    return [
        [names[i], names[j], int(beside[i, j]), float(beside[i, j] / rows[i])]
        for i, j in found
        if beside[i, j]
    ]
