"""Which inputs each task uses, and which they share: what `keras_mtl.explain` found.

An explanation has `importance`, `{feature: {task: mean absolute share}}`, and `pictures()`,
`{title: text of an SVG file}`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_mtl.reporting._content import Block, Drawing, Matrix, Note, Part, Section
from keras_mtl.reporting._subject import Subject

FEATURES = 25
PICTURES = 12
_DRAWN_ABOVE = "Which features each task uses, as shares of all it uses"


def section(subject: Subject) -> Section | None:
    """A matrix of features and tasks of each explanation, and its pictures."""
    parts = []
    for i, found in enumerate(subject.explanations, 1):
        blocks: list[Block] = []
        if "explanations" in subject.notes:
            blocks.append(Note(subject.notes["explanations"]))
        names = list(found.importance)
        tasks = list(dict.fromkeys(t for name in names for t in found.importance[name]))
        if names:
            shares = _shares(found, names, tasks)
            order = np.argsort(-np.nanmax(shares, axis=1), kind="stable")[:FEATURES]
            kept = [names[i] for i in order]
            blocks.append(Matrix("Importance", kept, tasks, shares[order], "input", "task"))
        if len(names) > FEATURES:
            blocks.append(Note(f"The {FEATURES} most important of {len(names)} inputs."))
        # The matrix tells the same.
        drawn = [item for item in found.pictures().items() if item[0] != _DRAWN_ABOVE]
        blocks += [Drawing(title, svg) for title, svg in drawn[:PICTURES]]
        if len(drawn) > PICTURES:
            blocks.append(Note(f"The first {PICTURES} of {len(drawn)} pictures."))
        parts.append(Part(f"Explanation {i}" if len(subject.explanations) > 1 else "", blocks))
    if not parts:
        return None
    intro = (
        "How much of a task's answers hangs on each input: a column adds up to 1 over all inputs, so "
        "that tasks of different units can be compared. Inputs with much in two columns are shared."
    )
    return Section("What the tasks look at", intro, parts)


def _shares(found: Any, names: Sequence[str], tasks: Sequence[str]) -> np.ndarray:
    """Each input's part of a task's whole importance, `(F, K)`; below 0 counts as 0."""
    values = np.array([[found.importance[n].get(t, np.nan) for t in tasks] for n in names])
    values = np.where(values < 0, 0.0, values)
    totals = np.nansum(values, axis=0)
    return values / np.where(totals > 0, totals, 1.0)
