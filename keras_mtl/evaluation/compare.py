"""Joint training against a model for each task, under one budget."""

import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl.data import Examples
from keras_mtl.data._columns import Sequences
from keras_mtl.evaluation._comparison_content import checked
from keras_mtl.evaluation._table import text_table
from keras_mtl.evaluation.delta_m import delta_m
from keras_mtl.evaluation.report import evaluate, write_json

SINGLE = "single-task"
EQUAL = "equal"


class Comparison:
    """Each row's metrics by task and seed; prints as a table with a verdict.

    Attributes:
        metrics: The metric that each task is judged by.
        higher_is_better: Whether more of it is better.
        values: `{row: {task: [value a seed]}}`; the first row is "single-task", then "equal".
        delta: `{row: [Delta_m a seed, in percent]}` of the joint rows.
        parameters: Trainable parameters a row; single-task models counted together.
        seconds: Training time a row, mean over seeds; single-task models together.
    """

    def __init__(
        self,
        metrics: Mapping[str, str],
        higher_is_better: Mapping[str, bool],
        values: Mapping[str, Mapping[str, Sequence[float]]],
        parameters: Mapping[str, int],
        seconds: Mapping[str, float],
    ):
        self.metrics = dict(metrics)
        self.higher_is_better = dict(higher_is_better)
        self.values = {r: {t: list(v) for t, v in found.items()} for r, found in values.items()}
        self.parameters = dict(parameters)
        self.seconds = dict(seconds)
        single = self.values[SINGLE]
        self.delta = {
            row: [
                delta_m(
                    {t: v[s] for t, v in found.items()},
                    {t: v[s] for t, v in single.items()},
                    self.higher_is_better,
                )
                for s in range(len(next(iter(found.values()))))
            ]
            for row, found in self.values.items()
            if row != SINGLE
        }

    @property
    def verdict(self) -> str:
        """What the joint training was worth, in one plain sentence."""
        row, deltas = max(self.delta.items(), key=lambda pair: statistics.mean(pair[1]))
        mean, seeds = statistics.mean(deltas), len(deltas)
        told = f"Delta_m {mean:+.2f} %" + (
            f" +- {statistics.stdev(deltas):.2f} over {seeds} seeds" if seeds > 1 else " (one seed)"
        )
        # Twice the standard error: what chance alone would rarely do.
        noise = 2 * statistics.stdev(deltas) / seeds**0.5 if seeds > 1 else float("inf")
        if mean > noise:
            return f"Joint training was worth it: {row!r} gains over single-task models, {told}."
        if mean < -noise:
            return (
                f"Joint training was worth nothing here: even the best row, {row!r}, loses against "
                f"single-task models, {told}. Train the tasks apart, or change what they share."
            )
        return (
            f"Joint training made no difference that can be told from chance: the best row is "
            f"{row!r}, {told}. One model serves all tasks with {self.parameters[row]:,} parameters "
            f"instead of {self.parameters[SINGLE]:,}."
        )

    def __str__(self) -> str:
        head = [
            "",
            *(f"{t} {self.metrics[t]}" for t in self.metrics),
            "Delta_m %",
            "parameters",
            "s",
        ]
        return text_table(head, self._rows()) + "\n" + self.verdict

    def to_dict(self) -> dict[str, Any]:
        """Everything in it as plain Python."""
        return {
            "metrics": self.metrics,
            "higher_is_better": self.higher_is_better,
            "values": self.values,
            "delta_m": self.delta,
            "parameters": self.parameters,
            "seconds": self.seconds,
            "verdict": self.verdict,
        }

    def to_json(self, path: Any) -> pathlib.Path:
        """Writes `to_dict` as a JSON file, whole or not at all."""
        return write_json(self.to_dict(), path)

    @classmethod
    def from_dict(cls, content: Any) -> "Comparison":
        """What `to_dict` was made of; Delta_m and the verdict are worked out again.

        Raises:
            ValueError: If something is missing, or does not go together.
        """
        return cls(**checked(content, SINGLE))

    def to_markdown(self) -> str:
        """The table in Markdown, with the verdict."""
        head = [
            "",
            *(f"{t} {self.metrics[t]}" for t in self.metrics),
            "Delta_m %",
            "parameters",
            "s",
        ]
        lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
        lines.extend("| " + " | ".join(row) + " |" for row in self._rows())
        return "\n".join(lines) + f"\n\n{self.verdict}\n"

    def _rows(self) -> list[list[str]]:
        return [
            [
                row,
                *(_spread(found[task], 4) for task in self.metrics),
                _spread(self.delta[row], 2, sign=True) if row in self.delta else "",
                f"{self.parameters[row]:,}",
                f"{self.seconds[row]:.1f}",
            ]
            for row, found in self.values.items()
        ]


def compare(
    build: Callable[[list[str]], Any],
    train: Any,
    test: Any,
    *,
    valid: Any = None,
    rows: Mapping[str, Mapping[str, Any]] | None = None,
    optimizer: Any = "adam",
    epochs: int = 10,
    batch_size: int = 64,
    seeds: Sequence[int] = (0, 1, 2),
    progress: Callable[[str], None] | None = None,
    callbacks: Callable[[str, list[str], int], Sequence[keras.callbacks.Callback]] | None = None,
) -> Comparison:
    """Trains single-task and joint models alike and tells what joint training was worth.

    Every model has the same epochs, batches, optimizer and seeds. With `valid`, each keeps the
    weights of its best validation epoch.

    Args:
        build: From a list of task names to a new, uncompiled `MultiTaskModel` of those tasks; called
            with one task for each baseline, and with all for the joint rows.
        train: Training rows, `Examples` or batches.
        test: Rows to judge by.
        valid: Rows to choose the epoch by.
        rows: Further joint models: by row name, arguments of `compile` such as
            `{"uncertainty": {"balancer": "uncertainty"}}`. Equal weights are always a row.
        optimizer: A name, a config, or a function that makes a new one.
        epochs: Passes over the training rows.
        batch_size: Rows a batch, of `Examples`.
        seeds: One run each; three or more tell chance from gain.
        progress: Called with a line for every model trained.
        callbacks: Called with row, task names and seed of every model; what `fit` is given besides.

    Returns:
        A table of mean and spread over seeds, Delta_m, and a verdict.

    Raises:
        ValueError: If there is no seed, or the model has fewer than two tasks.
    """
    if not seeds:
        raise ValueError("`seeds` is empty; give one or more (three tell chance from gain).")
    every = list(train.labels if isinstance(train, Examples) else train.element_spec[1])
    if len(every) < 2:
        raise ValueError(f"compare needs labels of two or more tasks, but the data have {every}.")
    tell = progress or (lambda line: None)
    plans: dict[str, Mapping[str, Any]] = {EQUAL: {}, **(rows or {})}
    values: dict[str, dict[str, list[float]]] = {}
    parameters: dict[str, int] = {}
    seconds: dict[str, list[float]] = {}
    judged: dict[str, str] = {}
    better: dict[str, bool] = {}

    def run(row: str, names: list[str], arguments: Mapping[str, Any], seed: int) -> float:
        keras.utils.set_random_seed(seed)
        model = build(names)
        made = optimizer() if callable(optimizer) else keras.optimizers.get(optimizer)
        model.compile(made, **arguments)
        watching = [] if callbacks is None else list(callbacks(row, names, seed))
        if valid is not None:
            keep = keras.callbacks.EarlyStopping(
                "val_loss", mode="min", patience=epochs, restore_best_weights=True
            )
            watching.append(keep)
        begun = time.perf_counter()
        model.fit(
            _batches(train, names, batch_size, seed),
            validation_data=None if valid is None else _batches(valid, names, batch_size, None),
            epochs=epochs,
            callbacks=watching,
            verbose=0,
        )
        spent = time.perf_counter() - begun
        report = evaluate(model, _batches(test, names, batch_size, None))
        for name in names:
            task = model.tasks[name]
            judged[name], better[name] = task.main_metric, task.higher_is_better
            values.setdefault(row, {}).setdefault(name, []).append(report[name][task.main_metric])
        count = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        key = f"{row}/{seed}"
        counted[key] = counted.get(key, 0) + count
        parameters[row] = counted[key]
        shown = ", ".join(f"{n} {report[n][judged[n]]:.4f}" for n in names)
        tell(f"{row}, seed {seed}: {shown} ({spent:.1f} s)")
        return spent

    counted: dict[str, int] = {}
    for seed in seeds:
        seconds.setdefault(SINGLE, []).append(sum(run(SINGLE, [n], {}, seed) for n in every))
        for row, arguments in plans.items():
            seconds.setdefault(row, []).append(run(row, every, arguments, seed))
    mean_seconds = {row: statistics.mean(spent) for row, spent in seconds.items()}
    return Comparison(judged, better, values, parameters, mean_seconds)


def _batches(data: Any, names: list[str], batch_size: int, seed: int | None) -> Any:
    """Batches with the labels of some tasks alone; shuffled where there is a seed."""
    if isinstance(data, Examples):
        bucket = any(isinstance(column, Sequences) for column in data.inputs.values())
        data = data.dataset(
            batch_size, shuffle=seed is not None, seed=seed, bucket=bucket and seed is not None
        )

    def of_these(inputs: Any, *by_task: Any) -> Any:
        return inputs, *({n: part[n] for n in names if n in part} for part in by_task)

    return data.map(of_these)


def _spread(values: Sequence[float], digits: int, *, sign: bool = False) -> str:
    mean = f"{statistics.mean(values):{'+' if sign else ''}.{digits}f}"
    return mean if len(values) < 2 else f"{mean} +- {statistics.stdev(values):.{digits}f}"
