"""Whether 80 % means four times of five: predicted chances beside what was observed."""

import numpy as np

from keras_mtl.reporting._calibration import BINS, Reliability, reliability
from keras_mtl.reporting._content import Block, Cell, Chart, Part, Section, Series, Table
from keras_mtl.reporting._judged import Judged, Kind
from keras_mtl.reporting._subject import Subject


def section(subject: Subject) -> Section | None:
    """A reliability curve of each task that serves probabilities, and a table of all."""
    rows: list[list[Cell]] = []
    parts = []
    chosen = {one.name for one in subject.detailed}
    for name, judged in subject.judged.items():
        if not judged.served_is_probability:
            continue
        found = calibration(judged)
        rows.append([name, what(judged), found.error, found.surplus, int(found.counts.sum())])
        if name in chosen:
            parts.append(Part(name, [_chart(judged, found), _bins(judged, found)]))
    if not rows:
        return None
    table = Table(
        ["task", "chance of", "expected calibration error", "predicted minus observed", "answers"],
        rows,
    )
    intro = (
        f"Answers in {BINS} bins of the predicted chance: on the line, it is what was observed. The "
        "expected calibration error is the mean distance from it, by answers (Guo et al., "
        "ICML 2017); predicted minus observed is above 0 where chances are too high."
        + subject.left_out
    )
    return Section("Calibration", intro, [Part("", [table]), *parts])


def what(judged: Judged) -> str:
    """Of what the chance is."""
    if judged.kind is Kind.YES_NO:
        return f"{judged.classes[1]!r}"
    return "each class" if judged.kind is Kind.CLASSES else "the predicted class"


def calibration(judged: Judged) -> Reliability:
    """The chances of yes beside yes; of several classes, that of the decision beside its being right."""
    if judged.kind in (Kind.YES_NO, Kind.CLASSES):
        there = judged.ids != -1
        return reliability(judged.chances[there], judged.ids[there] == 1)
    there = judged.there.reshape(judged.ids.shape)
    decided = np.take_along_axis(judged.chances, judged.decided[..., None], axis=-1)[..., 0]
    return reliability(decided[there], (judged.decided == judged.ids)[there])


def _chart(judged: Judged, found: Reliability) -> Block:
    filled = found.counts > 0
    series = [Series("observed", found.said[filled].tolist(), found.came[filled].tolist())]
    return Chart(
        "Observed over predicted",
        f"predicted chance of {what(judged)}",
        "observed share",
        series,
        (0, 1),
        (0, 1),
        diagonal=True,
    )


def _bins(judged: Judged, found: Reliability) -> Block:
    points = 100 * found.surplus
    bins = [
        [f"{low:.2f} to {high:.2f}", said, came, int(n)]
        for low, high, said, came, n in zip(
            found.edges[:-1], found.edges[1:], found.said, found.came, found.counts, strict=True
        )
        if n
    ]
    if abs(points) < 1:
        told = "On average, what is predicted is observed."
    else:
        ways = (
            ("high", "low") if judged.kind in (Kind.YES_NO, Kind.CLASSES) else ("sure", "careful")
        )
        told = (
            f"On average {abs(points):.1f} points too {ways[points < 0]}: the "
            "chances tell which is likelier, but not how likely it is."
        )
    return Table(["predicted", "mean predicted", "observed", "answers"], bins, told)
