"""How far numbers are off, and where."""

import numpy as np

from keras_mtl.reporting._content import Block, Cell, Chart, Part, Section, Series, Table
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._subject import Subject

POINTS = 600
_DIMENSIONS = 4
_BINS = 21


def section(subject: Subject) -> Section | None:
    """Predicted over true numbers, and the distribution of errors, of each task of numbers."""
    parts = [Part(one.name, _blocks(one)) for one in subject.detailed if one.kind is Kind.NUMBERS]
    if not parts:
        return None
    intro = (
        "On the line, what is predicted is true. The error is predicted minus true: a distribution "
        "beside 0 means that the model predicts too much or too little on average."
        + subject.left_out
    )
    return Section("Predicted and true numbers", intro, parts)


def errors(judged: Judged) -> list[list[Cell]]:
    """By dimension: labels, mean error, mean absolute error, root mean squared error, 90 % within."""
    true, said = judged.numbers
    rows: list[list[Cell]] = []
    for d, name in enumerate(judged.dimensions):
        there = ~np.isnan(true[:, d])
        if there.any():
            off = said[there, d] - true[there, d]
            size = np.abs(off)
            rows.append(
                [
                    name or judged.name, int(there.sum()), float(off.mean()), float(size.mean()),
                    float(np.sqrt(np.mean(off**2))), float(np.quantile(size, 0.9)),
                ]
            )  # fmt: skip
    return rows


def _blocks(judged: Judged) -> list[Block]:
    true, said = judged.numbers
    units = f" ({judged.units})" if judged.units else ""
    blocks: list[Block] = []
    for d, name in list(enumerate(judged.dimensions))[:_DIMENSIONS]:
        rows = np.flatnonzero(~np.isnan(true[:, d]))
        if not len(rows):
            continue
        told = f"{name}: " if name else ""
        chosen = rows
        if len(rows) > POINTS:
            chosen = np.sort(np.random.default_rng(0).choice(rows, POINTS, replace=False))
        both = np.concatenate([true[rows, d], said[rows, d]])
        ends = (float(both.min()), float(both.max()))
        of = f", {POINTS} of {len(rows):,} rows" if len(rows) > POINTS else ""
        cloud = Series("rows", true[chosen, d].tolist(), said[chosen, d].tolist(), points=True)
        blocks.append(
            Chart(
                f"{told}predicted over true{of}",
                f"true{units}",
                f"predicted{units}",
                [cloud],
                ends,
                ends,
                True,
            )
        )
        blocks.append(_histogram(told, units, said[rows, d] - true[rows, d]))
    columns = [
        "dimension" if len(judged.dimensions) > 1 else "task", "labels", f"mean error{units}",
        f"mean absolute error{units}", f"root mean squared error{units}", f"90 % are within{units}",
    ]  # fmt: skip
    more = len(judged.dimensions) - _DIMENSIONS
    title = (
        f"Drawn are the first {_DIMENSIONS} of {len(judged.dimensions)} dimensions."
        if more > 0
        else ""
    )
    return [*blocks, Table(columns, errors(judged), title)]


def _histogram(told: str, units: str, off: np.ndarray) -> Chart:
    # An odd number of bins about 0, so that the middle one tells of what is about right.
    reach = float(np.quantile(np.abs(off), 0.99)) or 1.0
    counts, edges = np.histogram(np.clip(off, -reach, reach), _BINS, (-reach, reach))
    x = np.repeat(edges, 2)[1:-1]
    y = np.repeat(counts, 2)
    series = Series("rows", [float(x[0]), *x.tolist(), float(x[-1])], [0, *y.tolist(), 0])
    return Chart(
        f"{told}distribution of errors", f"predicted minus true{units}", "rows", [series],
        (-reach, reach), (0, float(max(counts.max(), 1))),
    )  # fmt: skip
