"""How training went: losses and metrics by epoch, of training and validation rows."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from keras_mtl.reporting._content import Block, Chart, Note, Part, Section, Series, Table
from keras_mtl.reporting._subject import DETAILED, Subject

_PREFIX = "val_"


def section(subject: Subject) -> Section | None:
    """A chart of each curve; nothing without a history."""
    curves = {key: values for key, values in subject.history.items() if key != "epoch"}
    if not curves:
        return None
    of_task = by_task(list(curves), subject.model.task_names)
    epochs = len(next(iter(curves.values())))
    drawn = ["", *subject.model.task_names]
    left_out = ""
    if len(drawn) > DETAILED + 1:
        chosen = {one.name for one in subject.detailed}
        drawn = [name for name in drawn if name == "" or name in chosen]
        left_out = subject.left_out
    parts = []
    for name in drawn:
        pairs = of_task.get(name, {})
        # The loss first, whatever the order of the history.
        ordered = sorted(pairs.items(), key=lambda pair: pair[1] != "loss")
        charts: list[Block] = [_chart(key, told, curves) for key, told in ordered]
        if charts:
            parts.append(Part(name or "All tasks", charts))
    intro = (
        f"{epochs} epochs. Where validation rises again while training falls, the model learns the "
        "training rows by heart." + left_out
    )
    best = _best(curves)
    if best is not None:
        parts.insert(0, Part("", [best]))
    return Section("Training curves", intro, parts)


def by_task(keys: Sequence[str], task_names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Keys of a history by task, each with what it is called there; "" has what belongs to none.

    >>> by_task(["loss", "val_loss", "a_loss", "a_b_loss", "val_a_b_auc"], ["a", "a_b"])
    {'': {'loss': 'loss'}, 'a': {'a_loss': 'loss'}, 'a_b': {'a_b_loss': 'loss', 'a_b_auc': 'auc'}}
    """
    found: dict[str, dict[str, str]] = {}
    for key in dict.fromkeys(key.removeprefix(_PREFIX) for key in keys):
        # The longest, since a task's name may begin with another's.
        owners = [name for name in task_names if key.startswith(f"{name}_")]
        owner = max(owners, key=len, default="")
        found.setdefault(owner, {})[key] = key[len(owner) + 1 :] if owner else key
    return found


def _chart(key: str, told: str, curves: Mapping[str, Sequence[float]]) -> Chart:
    series = []
    for name, full in (("training", key), ("validation", _PREFIX + key)):
        if full in curves:
            values = [math.nan if v is None else float(v) for v in curves[full]]
            series.append(Series(name, list(range(1, len(values) + 1)), values))
    return Chart(told, "epoch", told, series, whole=True)


def _best(curves: Mapping[str, Sequence[float]]) -> Block | None:
    """The last epoch beside the one of the least loss."""
    key = "val_loss" if "val_loss" in curves else "loss"
    if key not in curves:
        return None
    losses = np.array([np.nan if v is None else v for v in curves[key]], "float64")
    if not np.isfinite(losses).any():
        return Note("No epoch has a finite loss: training failed.")
    best = int(np.nanargmin(losses))
    rows = [
        [of, *(_at(curves[one], epoch) for one in ("loss", "val_loss") if one in curves)]
        for of, epoch in (
            ("first epoch", 0),
            (f"least {'validation ' if key == 'val_loss' else ''}loss (epoch {best + 1})", best),
            (f"last epoch ({len(losses)})", len(losses) - 1),
        )
    ]
    heads = [
        t for k, t in (("loss", "training loss"), ("val_loss", "validation loss")) if k in curves
    ]
    return Table(["", *heads], rows)


def _at(values: Sequence[float], epoch: int) -> float | None:
    return values[epoch] if epoch < len(values) else None
