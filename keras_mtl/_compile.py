"""From what `compile` was given to what a step uses: one loss and some metrics a task."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl._graph import TaskGraph
from keras_mtl._losses import TaskLoss
from keras_mtl._metrics import TaskMetrics, resolve_metrics
from keras_mtl._names import check_history_keys, refuse_unknown


def resolve_losses(graph: TaskGraph, served: Mapping[str, Any], given: Any) -> dict[str, TaskLoss]:
    """The loss of each task that has one, in the order of the tasks.

    Raises:
        TypeError: If losses are given by position.
        ValueError: If a task is unknown, or no task has a loss.
    """
    by_task = _by_task("loss", given, list(served))
    losses = {}
    for name, tensor in served.items():
        prediction = graph.predictions.get(name)
        if by_task.get(name) is not None:
            losses[name] = TaskLoss.of_keras(name, by_task[name], tensor)
        elif prediction is not None and prediction.scores and name not in by_task:
            task = prediction.task
            losses[name] = TaskLoss(
                name,
                prediction.loss_values,
                check=task.check,
                real_labels=task.real_labels,
                reads_scores=True,
            )
    if not losses:
        raise ValueError(
            f"No task has a loss; give one to some of {list(served)}: "
            f"compile(loss={{{next(iter(served))!r}: ...}})."
        )
    return losses


def resolve_task_metrics(
    graph: TaskGraph,
    served: Mapping[str, Any],
    losses: Mapping[str, TaskLoss],
    metrics: Any,
    weighted_metrics: Any,
) -> TaskMetrics:
    """What is counted of each task; its own metrics where none are given.

    Raises:
        TypeError: If metrics are given by position.
        ValueError: If a task is unknown, or two records would get one history key.
    """
    given = _by_task("metrics", metrics, list(served))
    weighted = _by_task("weighted_metrics", weighted_metrics, list(served))
    chosen, chosen_weighted, prepare = {}, {}, {}
    for name, tensor in served.items():
        loss = losses.get(name)
        fn = None if loss is None else loss.fn
        prediction = graph.predictions.get(name)
        if name in given or name in weighted or prediction is None:
            chosen[name] = resolve_metrics(given.get(name), fn, tensor)
            chosen_weighted[name] = resolve_metrics(weighted.get(name), fn, tensor)
        elif loss is not None:
            chosen[name] = prediction.task.metrics()
            prepare[name] = prediction.task.for_metrics
    counted = TaskMetrics(list(losses), chosen, chosen_weighted, prepare)
    check_history_keys(counted.keys_of_task())
    return counted


def resolve_multipliers(
    given: Mapping[str, float] | None,
    shared: Sequence[keras.Variable],
    own: Mapping[str, Sequence[keras.Variable]],
) -> dict[str, float]:
    """Learning-rate multiplier by variable path, 1s left out.

    Raises:
        TypeError: If it is not a dict.
        ValueError: If a key is neither "shared" nor a task, or a multiplier is negative.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            "`learning_rate_multipliers` must be a dict such as {'shared': 0.1, task: 1.0}, but "
            f"came as a {type(given).__name__}."
        )
    refuse_unknown("learning_rate_multipliers", given, ["shared", *own])
    if "shared" in own:
        raise ValueError(
            "`learning_rate_multipliers` cannot tell the shared layers from the task 'shared'; "
            "rename the task."
        )
    paths = {}
    for name, multiplier in given.items():
        if not np.isfinite(multiplier) or multiplier < 0:
            raise ValueError(
                f"`learning_rate_multipliers` of {name!r} is {multiplier!r}; expected a finite "
                "number that is not negative."
            )
        if multiplier != 1:
            for variable in shared if name == "shared" else own[name]:
                paths[variable.path] = float(multiplier)
    return paths


def _by_task(argument: str, given: Any, names: list[str]) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        refuse_unknown(argument, given, names)
        return dict(given)
    if isinstance(given, (list, tuple)) and len(names) > 1:
        raise TypeError(
            f"`{argument}` must be a dict from task names {names}, but came as a "
            f"{type(given).__name__}; nothing is matched by position."
        )
    return dict.fromkeys(names, given)
