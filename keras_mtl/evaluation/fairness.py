"""How a task fares in each group of people: its metrics by group, and the gaps between groups."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from keras_mtl._extra import extra_module
from keras_mtl.evaluation._judged import present
from keras_mtl.evaluation._table import text_table

FEW = 30
"""Groups of fewer labelled rows are pointed out: chance makes much of their gaps."""

# What a rate is of, where a task asks about more than one class or number.
_OF = " of "


class ByGroup:
    """The metrics of one task in each group of one attribute, and their gaps; prints as a table.

    Attributes:
        task: The task.
        attribute: What groups the rows, such as "sex".
        scores: `{group: {metric: value}}`: what the task is scored by; of classes also
            `selection_rate`, the share of rows that are decided to be of the class,
            `true_positive_rate` and `false_positive_rate`, the same among rows that are and are not; of
            numbers `mean_prediction`, `mean_label` and `mean_error` (prediction less label). Binary
            tasks have one of each, others one a class or dimension, `selection_rate of red`. NaN where
            a group has no such row.
        rows: How many labelled rows each group has.
        gaps: What the groups differ by, `{name: value}`, always the widest gap between any two: of
            classes `demographic_parity_difference` and `demographic_parity_ratio` (of selection rates),
            `equal_opportunity_difference` (of true positive rates) and `equalized_odds_difference` (of
            true or false positive rates, the wider), for more than two classes of the class where it is
            widest; of numbers `mean_prediction_difference` and `mean_error_difference`, of the
            dimension where it is widest; and `<main metric>_difference` of every task. NaN where fewer
            than two groups have such rows.
        unknown: How many labelled rows were left out because their group is not known.
    """

    def __init__(
        self,
        task: str,
        attribute: str,
        scores: Mapping[str, Mapping[str, float]],
        rows: Mapping[str, int],
        gaps: Mapping[str, float],
        unknown: int = 0,
    ):
        self.task = task
        self.attribute = attribute
        self.scores = {group: dict(found) for group, found in scores.items()}
        self.rows = dict(rows)
        self.gaps = dict(gaps)
        self.unknown = unknown

    @property
    def few(self) -> list[str]:
        """The groups of so few labelled rows that chance makes much of their gaps."""
        return [group for group, n in self.rows.items() if n < FEW]

    def __getitem__(self, group: str) -> dict[str, float]:
        return self.scores[group]

    def __str__(self) -> str:
        head, rows = self._table()
        return "\n".join(
            [f"{self.task} by {self.attribute}", text_table(head, rows), *self._told()]
        )

    def to_markdown(self) -> str:
        """The table in Markdown."""
        head, rows = self._table()
        lines = ["| " + " | ".join(cells) + " |" for cells in (head, *rows)]
        lines.insert(1, "| --- |" + " ---: |" * (len(head) - 1))
        return "\n".join([f"{self.task} by {self.attribute}:", "", *lines, "", *self._told()])

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python; values that are not defined are None."""
        return {
            "groups": {group: _plain(found) for group, found in self.scores.items()},
            "rows": self.rows,
            "gaps": _plain(self.gaps),
            "few": self.few,
            "unknown": self.unknown,
        }

    def _table(self) -> tuple[list[str], list[list[str]]]:
        # Rates of single classes are many: they are in `scores` alone.
        shown = [m for m in next(iter(self.scores.values())) if _OF not in m]
        rows = [
            [group, str(self.rows[group]), *(f"{found[m]:.4f}" for m in shown)]
            for group, found in self.scores.items()
        ]
        return ["group", "rows", *shown], rows

    def _told(self) -> list[str]:
        lines = ["Widest gaps: " + ", ".join(f"{k} {v:.4f}" for k, v in self.gaps.items())]
        if self.few:
            few = ", ".join(f"{group} ({self.rows[group]})" for group in self.few)
            lines.append(f"Fewer than {FEW} rows, so that chance makes much of the gaps: {few}")
        if self.unknown:
            lines.append(f"Rows of unknown {self.attribute}, left out: {self.unknown}")
        return lines


def by_group(
    task: Any, labels: np.ndarray, answers: np.ndarray, attribute: str, groups: np.ndarray
) -> ByGroup | None:
    """A task's metrics in each group, by fairlearn's `MetricFrame`; None if no row has a group.

    Demographic parity asks for equal selection rates. Equalised odds and equal opportunity are those of
    Hardt, Price and Srebro, "Equality of Opportunity in Supervised Learning", NeurIPS 2016. Each of
    several classes is judged by itself, one against the rest, and the widest gap counts.

    Args:
        task: The task object.
        labels: `(n, ...)`; rows without a label are left out.
        answers: The served output, `(n, ...)`.
        attribute: What the groups are of.
        groups: The name of each row's group, `(n,)`; None where it is not known.

    Raises:
        ImportError: If fairlearn is not installed.
    """
    labelled = present(labels, task.real_labels).reshape(len(labels), -1).any(axis=1)
    known = labelled & np.array([group is not None for group in groups])
    labels, answers, of = labels[known], answers[known], groups[known].astype(str)
    if not known.any():
        return None
    judged = _in_groups(lambda rows: task.score(labels[rows], answers[rows]), of).by_group
    columns = _columns(task, labels, answers)
    # Of tags of a sequence there is nothing to take the mean of.
    frame = _in_groups({n: partial(_mean, c) for n, c in columns.items()}, of) if columns else None
    sizes = _in_groups(len, of).by_group
    order = [group for group in dict.fromkeys(sorted_groups(groups)) if group in sizes.index]
    scores = {group: dict(judged[group]) for group in order}
    if frame is not None:
        for group in order:
            scores[group] |= {n: float(frame.by_group.loc[group, n]) for n in columns}
    rows = {group: int(sizes[group]) for group in order}
    gaps = {} if frame is None else _gaps(frame)
    gaps[f"{task.main_metric}_difference"] = _spread(
        [found[task.main_metric] for found in scores.values()]
    )
    return ByGroup(task.name, attribute, scores, rows, gaps, int((labelled & ~known).sum()))


def sorted_groups(groups: np.ndarray) -> list[str]:
    """The names of the groups, whole numbers by their size, other names by the alphabet."""
    names = {group for group in groups if group is not None}
    return sorted(names, key=lambda n: (0, int(n), "") if n.isdecimal() else (1, 0, n))


def _in_groups(metrics: Any, groups: np.ndarray) -> Any:
    """A `MetricFrame` of functions of the indices of rows."""
    fairlearn = extra_module("fairlearn.metrics", "fairness", "`sensitive` of evaluate")
    rows = np.arange(len(groups))

    def of_rows(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda y_true, y_pred: function(np.asarray(y_true))

    functions = (
        of_rows(metrics) if callable(metrics) else {k: of_rows(f) for k, f in metrics.items()}
    )
    return fairlearn.MetricFrame(
        metrics=functions, y_true=rows, y_pred=rows, sensitive_features=groups
    )


def _columns(task: Any, labels: np.ndarray, answers: np.ndarray) -> dict[str, np.ndarray]:
    """What the mean is taken of in each group, `(n,)` each; NaN for rows that take no part."""
    if task.keeps_positions:
        return {}
    columns = {}
    truth = np.asarray(labels, "float64").reshape(len(labels), -1)
    if task.classes is None:
        guess = np.asarray(answers, "float64").reshape(truth.shape)
        guess = np.where(np.isnan(truth), np.nan, guess)
        for d in range(truth.shape[1]):
            of = _OF + task.describe()["dimensions"][d] if truth.shape[1] > 1 else ""
            columns[f"mean_prediction{of}"] = guess[:, d]
            columns[f"mean_label{of}"] = truth[:, d]
            columns[f"mean_error{of}"] = guess[:, d] - truth[:, d]
        return columns
    decided = np.asarray(task.labels_from(answers)).reshape(len(labels), -1)
    if task.elementwise:
        asked = {c: (truth[:, i], decided[:, i] == 1) for i, c in enumerate(task.classes)}
    elif len(task.classes) == 2:
        asked = {"": (truth[:, 0], decided[:, 0] == 1)}
    else:
        asked = {
            c: ((truth[:, 0] == i).astype("float64"), decided[:, 0] == i)
            for i, c in enumerate(task.classes)
        }
    for name, (of_class, chosen) in asked.items():
        of = _OF + name if name else ""
        # An element may be missing by itself: NaN or -1. A class never seen (-2) is another class.
        there = ~np.isnan(of_class) & (of_class != -1)
        for rate, among in (
            ("selection_rate", there),
            ("true_positive_rate", there & (of_class == 1)),
            ("false_positive_rate", there & (of_class != 1)),
        ):
            columns[f"{rate}{of}"] = np.where(among, chosen, np.nan)
    return columns


def _gaps(frame: Any) -> dict[str, float]:
    # Of one group alone there is no gap.
    shared = frame.by_group.notna().sum() >= 2
    differences = {n: float(v) if shared[n] else math.nan for n, v in frame.difference().items()}
    ratios = {n: float(v) if shared[n] else math.nan for n, v in frame.ratio().items()}

    def widest(*rates: str) -> float:
        found = [v for n, v in differences.items() if n.split(_OF)[0] in rates]
        return max((v for v in found if not math.isnan(v)), default=math.nan)

    if any(n.startswith("mean_prediction") for n in differences):
        return {f"{n}_difference": widest(n) for n in ("mean_prediction", "mean_error")}
    selection = [v for n, v in ratios.items() if n.split(_OF)[0] == "selection_rate"]
    return {
        "demographic_parity_difference": widest("selection_rate"),
        "demographic_parity_ratio": min((v for v in selection if not math.isnan(v)), default=math.nan),
        "equal_opportunity_difference": widest("true_positive_rate"),
        "equalized_odds_difference": widest("true_positive_rate", "false_positive_rate"),
    }  # fmt: skip


def _mean(column: np.ndarray, rows: np.ndarray) -> float:
    found = column[rows]
    found = found[~np.isnan(found)]
    return float(found.mean()) if len(found) else math.nan


def _spread(values: list[float]) -> float:
    there = [v for v in values if not math.isnan(v)]
    return max(there) - min(there) if len(there) > 1 else math.nan


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {k: float(v) if math.isfinite(v) else None for k, v in values.items()}
