"""How tasks stand to each other: what they do for each other, and what a sharing scheme has learnt."""

import numpy as np

from keras_mtl.reporting._content import Block, Matrix, Note, Part, Section
from keras_mtl.reporting._subject import Subject

LARGEST = 30


def section(subject: Subject) -> Section | None:
    """Matrices of the affinity that was given and of the model's own relations."""
    blocks: list[Block] = []
    if subject.affinity is not None:
        found = subject.affinity
        names = list(found.task_names)[:LARGEST]
        title = f"{found.kind}: what the task of the row does for that of the column"
        values = found.matrix[:LARGEST, :LARGEST]
        # Cosines have a scale of their own: a small one must not look like the largest.
        own = np.diag(values)[~np.isnan(np.diag(values))]
        full = 1.0 if own.size and np.allclose(own, 1.0) else None
        blocks.append(Matrix(title, names, names, values, "of task", "onto task", full=full))
        if len(found.task_names) > LARGEST:
            blocks.append(_first(len(found.task_names)))
    if "affinity" in subject.notes:
        blocks.append(Note(subject.notes["affinity"]))
    for title, relation in subject.report.relations.items():
        rows, columns = list(relation.rows)[:LARGEST], list(relation.columns)[:LARGEST]
        values = relation.values[:LARGEST, :LARGEST]
        blocks.append(Matrix(title, rows, columns, values, "task", ""))
        if max(relation.values.shape) > LARGEST:
            blocks.append(_first(max(relation.values.shape)))
    if not blocks:
        return None
    intro = ""
    if any(isinstance(block, Matrix) for block in blocks):
        intro = (
            "Blue is above 0, orange below. An affinity above 0 means that learning the one helps the "
            "other; gates tell how much each task uses of each part."
        )
    return Section("Tasks and each other", intro, [Part("", blocks)])


def _first(number: int) -> Note:
    return Note(f"The first {LARGEST} of {number}.")
