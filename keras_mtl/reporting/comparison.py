"""What joint training was worth: Delta_m against a model for each task."""

import statistics
from collections.abc import Sequence

from keras_mtl.reporting._content import Cell, Note, Part, Section, Table, shown
from keras_mtl.reporting._subject import Subject


def section(subject: Subject) -> Section | None:
    """The table of a comparison; nothing without one."""
    found = subject.comparison
    if found is None:
        return None
    rows: list[list[Cell]] = []
    for row, by_task in found.values.items():
        delta = found.delta.get(row)
        rows.append(
            [
                row,
                *(_spread(by_task[task]) for task in found.metrics),
                _spread(delta, sign=True) if delta else None,
                found.parameters[row],
                found.seconds[row],
            ]
        )
    columns = [
        "model", *(f"{task} {metric}" for task, metric in found.metrics.items()), "Delta_m %",
        "parameters", "seconds",
    ]  # fmt: skip
    intro = (
        "Models trained alike, jointly and one for each task. Delta_m is the mean relative gain over "
        "the single-task models (Maninis et al., CVPR 2019); behind +- is the deviation over seeds."
    )
    return Section(
        "Joint against single-task", intro, [Part("", [Note(found.verdict), Table(columns, rows)])]
    )


def _spread(values: Sequence[float], *, sign: bool = False) -> str:
    mean = statistics.mean(values)
    told = f"{'+' if sign and mean > 0 else ''}{shown(float(mean))}"
    return told if len(values) < 2 else f"{told} +- {shown(float(statistics.stdev(values)))}"
