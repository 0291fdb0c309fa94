"""How each task fares in each group of people: metrics side by side, and the gaps between groups."""

import math
from collections.abc import Sequence

import numpy as np

from keras_mtl.evaluation import ByGroup
from keras_mtl.evaluation.fairness import FEW
from keras_mtl.reporting._bootstrap import intervals
from keras_mtl.reporting._content import Bars, Block, Cell, Note, Part, Range, Section, Table
from keras_mtl.reporting._judged import Judged
from keras_mtl.reporting._subject import Subject

MOST = 20
_OF = " of "
_GAPS = {
    "demographic_parity_difference": ("share decided for the class", 0),
    "demographic_parity_ratio": ("the same, the smallest over the largest", 1),
    "equal_opportunity_difference": ("the same among rows that are of the class", 0),
    "equalized_odds_difference": ("the same, or among rows that are not, the wider", 0),
    "mean_prediction_difference": ("mean prediction", 0),
    "mean_error_difference": ("mean of prediction less label", 0),
}


def section(subject: Subject) -> Section | None:
    """Tables of groups and gaps of each task and attribute; nothing where no groups were told."""
    if not subject.groups:
        return None
    parts = []
    for name, by_attribute in subject.report.fairness.items():
        blocks: list[Block] = []
        for attribute, by in by_attribute.items():
            blocks += _blocks(subject.judged[name], by, subject.groups[attribute])
        lacking = [attribute for attribute in subject.groups if attribute not in by_attribute]
        if lacking:
            blocks.append(Note(f"No labelled row has a known group of {', '.join(lacking)}."))
        parts.append(Part(name, blocks))
    intro = (
        "The same metrics in each group. A gap is the widest between any two groups; which of them "
        "matters is a question about the world that the model is used in, and no gap at all does not "
        "make a model fair. Rates: the share of rows that the model decides to be of the class "
        "(selection), among those that are of it (true positive) and that are not (false positive). "
        f"Groups of fewer than {FEW} labelled rows are marked by a *: chance makes much of their "
        "numbers."
    )
    return Section("Fairness", intro, parts)


def _blocks(judged: Judged, by: ByGroup, groups: np.ndarray) -> list[Block]:
    shown = [metric for metric in next(iter(by.scores.values())) if _OF not in metric]
    main = judged.task.main_metric
    names = [f"{group} *" if group in by.few else group for group in by.rows]
    rows: list[list[Cell]] = [["labelled rows", *by.rows.values(), None]]
    for metric in shown:
        rows.append(_row(f"{metric} (main)" if metric == main else metric, by, metric))
        if metric == main:
            rows.append(["95 % interval", *_ranges(judged, by, groups), None])
    blocks: list[Block] = [
        Table(["metric", *names, "widest gap"], rows, f"By {by.attribute}"),
        Table(
            ["gap", "value", "none is", "of"],
            [_gap(gap, value, judged, by) for gap, value in by.gaps.items()],
            f"Widest gaps by {by.attribute}",
        ),
    ]
    bars = _bars(judged, by, names)
    if bars:
        blocks.append(bars)
    blocks += _of_classes(by, names)
    if by.few:
        told = ", ".join(f"{group} ({by.rows[group]})" for group in by.few)
        blocks.append(
            Note(f"* Fewer than {FEW} labelled rows, so trust neither them nor gaps: {told}.")
        )
    if by.unknown:
        blocks.append(
            Note(f"Left out, since their {by.attribute} is not known: {by.unknown:,} rows.")
        )
    return blocks


def _row(title: str, by: ByGroup, metric: str) -> list[Cell]:
    values = [found[metric] for found in by.scores.values()]
    return [title, *values, _widest(values)]


def _widest(values: Sequence[float]) -> float | None:
    there = [value for value in values if math.isfinite(value)]
    return max(there) - min(there) if len(there) > 1 else None


def _ranges(judged: Judged, by: ByGroup, groups: np.ndarray) -> list[Range | None]:
    """How sure the main metric is in each group."""
    of, main = groups[judged.rows], judged.task.main_metric
    found = []
    for group, scores in by.scores.items():
        kept = of == group
        alone = Judged(
            judged.name, judged.task, judged.labels[kept], judged.answers[kept], judged.rows[kept],
            {main: scores[main]},
        )  # fmt: skip
        found.append(intervals(alone)[main].range)
    return found


def _gap(gap: str, value: float, judged: Judged, by: ByGroup) -> list[Cell]:
    what, none = _GAPS.get(gap, (judged.task.main_metric, 0))
    if _of_two(by):
        what = what.replace("the class", repr(judged.classes[1]))
    # In words, so that narrow screens can break the line.
    return [gap.replace("_", " "), value, none, what]


def _bars(judged: Judged, by: ByGroup, names: Sequence[str]) -> Bars | None:
    """What of the groups is best compared by eye, if there is such a thing."""
    metric, title = judged.task.main_metric, f"{judged.task.main_metric} by {by.attribute}"
    if _of_two(by):
        metric, title = "selection_rate", f"Decided {judged.classes[1]!r}, share by {by.attribute}"
    values = [found[metric] for found in by.scores.values()]
    if not all(math.isfinite(value) and value >= 0 for value in values):
        return None
    return Bars(title, names, values)


def _of_two(by: ByGroup) -> bool:
    """Whether the rates are of the second of two classes."""
    return "selection_rate" in next(iter(by.scores.values()))


def _of_classes(by: ByGroup, names: Sequence[str]) -> list[Block]:
    """Rates of single classes or numbers, those first that groups differ most in."""
    single = [metric for metric in next(iter(by.scores.values())) if _OF in metric]
    if not single:
        return []
    rows = sorted((_row(metric, by, metric) for metric in single), key=_gap_of, reverse=True)
    title = f"One by one, by {by.attribute}"
    if len(rows) > MOST:
        title += f": the {MOST} of {len(rows)} with the widest gaps"
    return [Table(["metric", *names, "widest gap"], rows[:MOST], title)]


def _gap_of(row: Sequence[Cell]) -> float:
    gap = row[-1]
    return gap if isinstance(gap, float) else -1.0
