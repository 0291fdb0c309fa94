"""The rows that a model is most wrong about: often a wrong label, or a kind of row it never saw."""

import numpy as np

from keras_mtl.reporting._content import Cell, Example, Examples, Part, Section
from keras_mtl.reporting._inputs import looked_at
from keras_mtl.reporting._judged import Judged, Kind, chance_of_truth, row_losses
from keras_mtl.reporting._subject import Subject

ROWS = 6
_NAMED = 4


def section(subject: Subject) -> Section | None:
    """A few rows of each task, the highest loss first."""
    parts = []
    for judged in subject.detailed:
        if judged.kind is Kind.OTHER:
            continue
        losses = row_losses(judged)
        worst = np.argsort(-losses, kind="stable")[:ROWS]
        rows = [_example(subject, judged, int(i), float(losses[i])) for i in worst]
        parts.append(Part(judged.name, [Examples("Highest loss first", rows)]))
    if not parts:
        return None
    intro = (
        "Look here for wrong labels, and for kinds of rows that training had too few of. The loss is "
        "minus the logarithm of the chance given to what is true, a mean over the row's labels; "
        "of numbers, the squared error in units of their variance. Rows are counted from 0."
        + subject.left_out
    )
    return Section("Worst examples", intro, parts)


def _example(subject: Subject, judged: Judged, i: int, loss: float) -> Example:
    row = int(judged.rows[i])
    inputs = subject.inputs[row]
    if judged.kind is Kind.TAGS:
        there = judged.there[i]
        length = int(np.flatnonzero(there)[-1]) + 1
        said = judged.task.decode(judged.decided[i, :length])
        true = judged.task.decode(judged.ids[i, :length])
        wrong = int((there & (judged.ids[i] != judged.decided[i])).sum())
        facts: list[tuple[str, Cell]] = [
            ("wrong", f"{wrong} of {int(there.sum())} tags"), ("loss", loss)
        ]  # fmt: skip
        return Example(row, facts, looked_at(inputs, (said, true)))
    return Example(row, [*_facts(judged, i), ("loss", loss)], looked_at(inputs))


def _facts(judged: Judged, i: int) -> list[tuple[str, Cell]]:
    if judged.kind is Kind.NUMBERS:
        true, said = judged.numbers
        names = judged.dimensions
        units = f" ({judged.units})" if judged.units else ""
        off = np.argsort(-np.nan_to_num(np.abs(said[i] - true[i]), nan=-1.0))[:_NAMED]
        facts: list[tuple[str, Cell]] = []
        for d in sorted(off.tolist()):
            if not np.isnan(true[i, d]):
                facts.append((f"true {names[d]}".strip() + units, float(true[i, d])))
                facts.append((f"predicted {names[d]}".strip() + units, float(said[i, d])))
        return facts
    if judged.kind is Kind.CLASSES:
        chances = chance_of_truth(judged)[i]
        there = judged.ids[i] != -1
        order = np.argsort(np.where(there, chances, np.inf))[:_NAMED]
        return [
            (
                f"{judged.classes[c]} (true: {'yes' if judged.ids[i, c] == 1 else 'no'})",
                f"{judged.chances[i, c]:.1%} yes".replace("%", " %"),
            )
            for c in order
            if there[c] and judged.ids[i, c] != judged.decided[i, c]
        ] or [("wrong", "nothing")]
    true = judged.task.decode(judged.ids[i : i + 1])[0]
    said = judged.task.decode(judged.decided[i : i + 1])[0]
    if judged.kind is Kind.YES_NO:
        chance = max(judged.chances[i], 1 - judged.chances[i])
    else:
        chance = judged.chances[i, judged.decided[i]]
    return [
        ("true", true),
        ("predicted", said),
        ("its chance", float(chance)),
        ("chance of the true", float(chance_of_truth(judged)[i])),
    ]
