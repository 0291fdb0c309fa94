"""How good a model is, task by task."""

import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._relations import Relation, relations
from keras_mtl.evaluation._heat_map import write_heat_map
from keras_mtl.evaluation._judged import answers_to, batches_of, present, rows_of
from keras_mtl.evaluation._sensitive import sensitive_groups
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation.fairness import ByGroup, by_group

FRAME = "frame_accuracy"


class Report:
    """The metrics of each task; prints as a table.

    Attributes:
        scores: `{task: {metric: value}}`.
        counts: How many labels of each task were there.
        unseen: How many of them are of a class that the task does not know, all errors.
        joint: Metrics over tasks; `frame_accuracy`, the share of rows in which every class and tag
            of every task is right (as slot filling counts it), where rows have several such tasks.
        relations: What the sharing scheme has learnt of the tasks, by title; see
            `keras_mtl.evaluation.relations`.
        fairness: `{task: {attribute: ByGroup}}`, how the task fares in each group, where `evaluate` was
            told the groups; see `keras_mtl.evaluation.ByGroup`.
    """

    def __init__(
        self,
        scores: Mapping[str, Mapping[str, float]],
        counts: Mapping[str, int] | None = None,
        unseen: Mapping[str, int] | None = None,
        joint: Mapping[str, float] | None = None,
        relations: Mapping[str, Relation] | None = None,
        fairness: Mapping[str, Mapping[str, ByGroup]] | None = None,
    ):
        self.scores = {task: dict(found) for task, found in scores.items()}
        self.counts = dict(counts or {})
        self.unseen = {task: n for task, n in (unseen or {}).items() if n}
        self.joint = dict(joint or {})
        self.relations = dict(relations or {})
        self.fairness = {task: dict(found) for task, found in (fairness or {}).items()}

    def __getitem__(self, task: str) -> dict[str, float]:
        return self.scores[task]

    def __str__(self) -> str:
        lines = [text_table(["task", "labels", "metric", "value"], self._rows())]
        if self.unseen:
            told = ", ".join(f"{task}: {n}" for task, n in self.unseen.items())
            lines.append(
                f"Labels of classes that the task does not know, counted as errors: {told}"
            )
        lines += [f"\n{found}" for found in self._by_group()]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python; values that are not defined are None."""
        return {
            "tasks": {t: {m: _plain(v) for m, v in s.items()} for t, s in self.scores.items()},
            "labels": self.counts,
            "unseen": self.unseen,
            "joint": {m: _plain(v) for m, v in self.joint.items()},
            "relations": {title: found.to_dict() for title, found in self.relations.items()},
            "fairness": {
                task: {attribute: one.to_dict() for attribute, one in found.items()}
                for task, found in self.fairness.items()
            },
        }

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all.

        Raises:
            OSError: If the file cannot be written.
        """
        return write_json(self.to_dict(), path)

    def to_markdown(self) -> str:
        """The table in Markdown, one of each relation, and one of each task by group."""
        head = "| task | labels | metric | value |\n| --- | ---: | --- | ---: |"
        lines = [head, *map(_markdown_row, self._rows())]
        for title, found in self.relations.items():
            lines += ["", f"{title}:", "", _markdown_row(["", *found.columns])]
            lines.append(_markdown_row(["---", *["---:"] * len(found.columns)]))
            lines += [
                _markdown_row([name, *(f"{v:.2f}" for v in row)])
                for name, row in zip(found.rows, found.values, strict=True)
            ]
        for by in self._by_group():
            lines += ["", by.to_markdown()]
        return "\n".join(lines) + "\n"

    def draw(self, folder: Any) -> list[pathlib.Path]:
        """Writes a heat map of each relation, `<title>.svg`, and returns the files."""
        return [
            write_heat_map(
                pathlib.Path(folder) / f"{title}.svg",
                found.values,
                found.rows,
                title,
                columns=found.columns,
            )
            for title, found in self.relations.items()
        ]

    def _by_group(self) -> list[ByGroup]:
        return [by for found in self.fairness.values() for by in found.values()]

    def _rows(self) -> list[list[str]]:
        rows = []
        for task, found in self.scores.items():
            for i, (metric, value) in enumerate(found.items()):
                count = str(self.counts.get(task, "")) if i == 0 else ""
                rows.append([task if i == 0 else "", count, metric, f"{value:.4f}"])
        for metric, value in self.joint.items():
            rows.append(["(all tasks)", "", metric, f"{value:.4f}"])
        return rows


def evaluate(
    model: Any, data: Any, y: Any = None, *, batch_size: int = 64, sensitive: Any = None
) -> Report:
    """Judges a model on labelled data by scikit-learn's metrics, missing labels left out.

    Outputs that have a task are judged by the task's `score`; the others by the Keras metrics that
    the model was compiled with.

    Args:
        model: A `MultiTaskModel`.
        data: `keras_mtl.data.Examples`, batches of `(inputs, labels)`, or inputs alone with `y`.
        y: Labels by task name, where `data` is inputs.
        batch_size: Rows a batch, of what does not come in batches.
        sensitive: Which groups to judge apart: `{"sex": values}`, strings or whole numbers `(n,)` in the
            order of the rows, which are `Examples` or arrays (a value that is "", NaN, None or -1 is not
            known, and its row left out and counted); or names of inputs or labels of the data. Needs the
            extra `fairness`.

    Returns:
        A report that prints, and saves as JSON or Markdown.

    Raises:
        ImportError: If `sensitive` is given and fairlearn is not installed.
        TypeError: If `sensitive` is given and rows come in batches, whose order is not known.
        ValueError: If the data hold no label of any task of the model, or `sensitive` does not go with
            the rows.

    Example:

    >>> import keras_mtl
    >>> train, valid, test = keras_mtl.datasets.multi_digits(train=64, valid=8, test=64)
    >>> model = keras_mtl.build_model(
    ...     keras_mtl.encoders.Image((12, 12, 1), filters=[4]),
    ...     [keras_mtl.tasks.MultiClass("left", 10), keras_mtl.tasks.MultiClass("right", 10)],
    ... )
    >>> report = evaluate(model, test)
    >>> report.counts
    {'left': 64, 'right': 64}
    """
    data = rows_of(model, data, y)
    groups = {} if sensitive is None else sensitive_groups(data, sensitive)
    batches = batches_of(model, data, batch_size=batch_size)
    truth, served = answers_to(model, batches)
    scores: dict[str, dict[str, float]] = {}
    counts, unseen = {}, {}
    for name, task in model.tasks.items():
        if name not in truth:
            continue
        labels, answers = truth[name], served[name]
        there = present(labels, task.real_labels)
        counts[name] = int(there.sum())
        unseen[name] = 0 if task.classes is None else int((labels[there] <= -2).sum())
        rows = there.reshape(len(there), -1).any(axis=1)
        if rows.any():
            scores[name] = task.score(labels[rows], answers[rows])
    _add_compiled(model, batches, scores)
    if not scores:
        raise ValueError(
            f"The data hold no label of the model's tasks {model.task_names}; give labels by task "
            "name."
        )
    ordered = {name: scores[name] for name in model.task_names if name in scores}
    fairness = {
        name: _fairness(model.tasks[name], truth[name], served[name], groups)
        for name in ordered
        if name in truth and groups
    }
    joint = _joint(model, truth, served)
    return Report(ordered, counts, unseen, joint, relations(model), fairness)


def write_json(content: Any, path: Any) -> pathlib.Path:
    """Writes a JSON file, whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        waiting.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        os.replace(waiting, path)
    finally:
        waiting.unlink(missing_ok=True)
    return path


def _fairness(
    task: Any, labels: np.ndarray, answers: np.ndarray, groups: Mapping[str, np.ndarray]
) -> dict[str, ByGroup]:
    """The task's metrics by group of each attribute that labelled rows have a group of."""
    found = {name: by_group(task, labels, answers, name, of) for name, of in groups.items()}
    return {name: by for name, by in found.items() if by is not None}


def _joint(
    model: Any, truth: Mapping[str, np.ndarray], served: Mapping[str, np.ndarray]
) -> dict[str, float]:
    """The share of rows in which every class and tag is right, if several tasks have them."""
    judged = [n for n, task in model.tasks.items() if n in truth and task.classes is not None]
    if len(judged) < 2 or len({len(truth[name]) for name in judged}) > 1:
        return {}
    right = np.ones(len(truth[judged[0]]), bool)
    labelled = np.ones(len(right), bool)
    for name in judged:
        labels = truth[name]
        there = present(labels, real_labels=False).reshape(len(labels), -1)
        decided = model.tasks[name].labels_from(served[name]).reshape(len(labels), -1)
        flat = np.where(there, np.nan_to_num(labels.reshape(len(labels), -1)), 0).astype("int64")
        right &= (~there | (flat == decided)).all(axis=1)
        labelled &= there.any(axis=1)
    return {FRAME: float(right[labelled].mean())} if labelled.any() else {}


def _add_compiled(model: Any, batches: Any, scores: dict[str, dict[str, float]]) -> None:
    """The compiled Keras metrics of outputs that have no task object."""
    others = [name for name in model.task_names if name not in model.tasks]
    if not others or not model.compiled:
        return
    results = model.evaluate(batches, return_dict=True, verbose=0)
    for name in others:
        found = {k[len(name) + 1 :]: v for k, v in results.items() if k.startswith(f"{name}_")}
        # A longer task name may begin alike: its keys are not this task's.
        longer = [t for t in model.task_names if t != name and t.startswith(f"{name}_")]
        scores[name] = {
            metric: float(value)
            for metric, value in found.items()
            if not any(f"{name}_{metric}".startswith(f"{t}_") for t in longer)
        }


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(value: float) -> float | None:
    return None if not math.isfinite(value) else float(value)
