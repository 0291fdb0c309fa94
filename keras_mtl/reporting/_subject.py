"""What a report is about: a model, its answers to labelled rows, and what else is known of a run."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._run_files import Run
from keras_mtl.evaluation import Report, evaluate
from keras_mtl.evaluation._by_input import by_input
from keras_mtl.evaluation._judged import answers_to, batches_of
from keras_mtl.evaluation._sensitive import sensitive_groups
from keras_mtl.reporting._bootstrap import Interval, intervals
from keras_mtl.reporting._judged import Judged

DETAILED = 12
"""Of how many tasks pictures are drawn; tables are of all."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """Everything that sections read.

    Attributes:
        model: A `MultiTaskModel`.
        report: Its metrics, of `keras_mtl.evaluate`.
        judged: Labels and answers of each task that has a task object and labels.
        inputs: What the model read, by input name; see `Inputs`.
        rows: How many rows there were.
        run: The run's folder, or None.
        history: Keras's history by key, empty if it is not known.
        comparison: A `keras_mtl.evaluation.Comparison`, or None.
        affinity: A `keras_mtl.evaluation.Affinity`, or None.
        explanations: What `keras_mtl.explain` gave.
        groups: The name of each row's group by sensitive attribute, None where it is not known.
        notes: How affinity or explanations were measured, or why not, under these names.
    """

    model: Any
    report: Report
    judged: Mapping[str, Judged]
    inputs: "Inputs"
    rows: int
    run: Run | None = None
    history: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    comparison: Any = None
    affinity: Any = None
    explanations: Sequence[Any] = ()
    groups: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    notes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def intervals(self) -> dict[str, dict[str, Interval]]:
        """How sure each metric of each task is."""
        return {name: intervals(one) for name, one in self.judged.items()}

    @functools.cached_property
    def detailed(self) -> list[Judged]:
        """The tasks that pictures are drawn of: all, or those that gain least over a guess."""
        every = list(self.judged.values())
        if len(every) <= DETAILED:
            return every
        chosen = sorted(every, key=lambda one: np.nan_to_num(one.skill, nan=np.inf))[:DETAILED]
        return [one for one in every if any(one is other for other in chosen)]

    @property
    def left_out(self) -> str:
        """A sentence that tells of which tasks no pictures are drawn; empty if of none."""
        more = len(self.judged) - len(self.detailed)
        if more <= 0:
            return ""
        return (
            f" Drawn are the {len(self.detailed)} tasks that gain least over a guess; the other "
            f"{more} are in the tables."
        )


class Inputs:
    """Rows as the model read them, found again by their place in the data.

    Args:
        batches: By input name, batch by batch.
    """

    def __init__(self, batches: Sequence[Mapping[str, Any]]):
        self._batches = batches
        sizes = [len(next(iter(batch.values()))) for batch in batches]
        self._begins = np.concatenate([[0], np.cumsum(sizes)]).astype("int64")

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        """The inputs of a row, `{name: (...)}`."""
        batch = int(np.searchsorted(self._begins, row, side="right")) - 1
        place = row - self._begins[batch]
        return {name: np.asarray(x[place]) for name, x in self._batches[batch].items()}


def subject_of(
    model: Any, data: Any, *, batch_size: int = 64, sensitive: Any = None, **known: Any
) -> Subject:
    """Asks a model about labelled rows.

    Args:
        model: A `MultiTaskModel`.
        data: `keras_mtl.data.Examples`, or batches of `(inputs, labels)`.
        batch_size: Rows a batch, of `Examples`.
        sensitive: Which groups to judge apart, as `evaluate` takes them; of `Examples` alone.
        **known: Further attributes of `Subject`.

    Raises:
        ImportError: If `sensitive` is given and fairlearn is not installed.
        TypeError: If `sensitive` is given and rows come in batches.
        ValueError: If the data hold no label of any task of the model, or no such groups.
    """
    groups = {} if sensitive is None else sensitive_groups(data, sensitive)
    batches = batches_of(model, data, batch_size=batch_size)
    report = evaluate(
        model, data if groups else batches, batch_size=batch_size, sensitive=sensitive
    )
    seen: list[tuple[Mapping[str, Any], list[str]]] = []
    truth, served = answers_to(model, _noting(model, batches, seen))
    sizes = [len(next(iter(inputs.values()))) for inputs, _ in seen]
    begins = np.concatenate([[0], np.cumsum(sizes)]).astype("int64")
    judged = {}
    for name, task in model.tasks.items():
        if name not in report.scores or name not in truth:
            continue
        rows = np.concatenate(
            [
                np.arange(begins[i], begins[i + 1])
                for i, (_, labelled) in enumerate(seen)
                if name in labelled
            ]
        )
        whole = Judged(name, task, truth[name], served[name], rows, report.scores[name])
        kept = whole.there.reshape(len(rows), -1).any(axis=1)
        judged[name] = Judged(
            name, task, truth[name][kept], served[name][kept], rows[kept], report.scores[name]
        )
    inputs = Inputs([batch for batch, _ in seen])
    return Subject(model, report, judged, inputs, int(begins[-1]), groups=groups, **known)


def _noting(
    model: Any, batches: Any, seen: list[tuple[Mapping[str, Any], list[str]]]
) -> Iterator[Any]:
    """The same batches, their inputs and the tasks they have labels of noted as they pass.

    In the pass that asks the model, since another pass might bring them in another order.
    """
    for batch in batches:
        labels = batch[1] if isinstance(batch[1], Mapping) else {model.task_names[0]: batch[1]}
        inputs = by_input(model, batch[0]) if len(model.inputs) == 1 else batch[0]
        if not isinstance(inputs, Mapping):
            names = [tensor.name for tensor in model.inputs]
            inputs = dict(zip(names, inputs, strict=True))
        seen.append((inputs, [name for name in labels if name in model.tasks]))
        yield batch
