"""How many numbers were learnt, and who has them: what is shared, and each task's own."""

import math
from collections.abc import Sequence
from typing import Any

from keras_mtl.reporting._content import Bars, Block, Cell, Note, Part, Section, Table
from keras_mtl.reporting._subject import Subject

_BARS = 20


def section(subject: Subject) -> Section:
    """A table of counts; a bar each while they can be told apart."""
    model = subject.model
    counts = {"shared": count(model.shared_variables())}
    counts.update({name: count(model.task_variables(name)) for name in model.task_names})
    total = count(model.trainable_variables)
    rows: list[list[Cell]] = [
        [name, number, number / total if total else None] for name, number in counts.items()
    ]
    frozen = count(model.non_trainable_variables)
    rows += [["trainable in all", total, 1.0 if total else None], ["not trained", frozen, None]]
    blocks: list[Block] = [Table(["part", "parameters", "share of the trainable"], rows)]
    if len(counts) <= _BARS:
        blocks.append(Bars("Trainable parameters", list(counts), list(counts.values())))
    if sum(counts.values()) < total:
        blocks.append(Note("The rest belongs to the balancer."))
    intro = "Shared is what two tasks or more stand on; a task's own is what no other task reads."
    return Section("Parameters", intro, [Part("", blocks)])


def count(variables: Sequence[Any]) -> int:
    """How many numbers they hold.

    >>> import keras
    >>> count([keras.Variable([[1.0, 2.0]]), keras.Variable(3.0)])
    3
    """
    return sum(math.prod(variable.shape) for variable in variables)
