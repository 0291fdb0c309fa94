"""From what `compile` was given to what a step uses: one loss and some metrics a task."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_mtl._freezing import unknown_to
from keras_mtl._graph import TaskGraph
from keras_mtl._layers_by_name import multipliers_of
from keras_mtl._losses import TaskLoss
from keras_mtl._metrics import TaskMetrics, resolve_metrics
from keras_mtl._names import check_history_keys, refuse_unknown


def resolve(
    graph: TaskGraph, outputs: Mapping[str, Any], loss: Any, metrics: Any, weighted_metrics: Any
) -> tuple[dict[str, TaskLoss], TaskMetrics]:
    """The losses and what is counted, of tasks in the order of a model's outputs.

    Raises:
        TypeError: If something is given by position.
        ValueError: If a task is unknown, none has a loss, or two records would get one history key.
    """
    served = dict(outputs)
    losses = resolve_losses(graph, served, loss)
    return losses, resolve_task_metrics(graph, served, losses, metrics, weighted_metrics)


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


def resolve_multipliers(given: Mapping[str, float] | None, model: Any) -> dict[int, float]:
    """Learning-rate multiplier by the `id` of a variable, frozen ones too, 1s left out.

    Raises:
        TypeError: If it is not a dict.
        ValueError: If a key is neither "shared", nor a task, nor like a layer; if two that tell as
            much of a layer disagree, or a multiplier is negative.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            "`learning_rate_multipliers` must be a dict such as {'shared': 0.1, task: 1.0}, but "
            f"came as a {type(given).__name__}."
        )
    for name, multiplier in given.items():
        if not np.isfinite(multiplier) or multiplier < 0:
            raise ValueError(
                f"`learning_rate_multipliers` of {name!r} is {multiplier!r}; expected a finite "
                "number that is not negative."
            )
    found = multipliers_of(model, given, "learning_rate_multipliers")
    return {key: multiplier for key, multiplier in found.items() if multiplier != 1}


def prepared(optimizer: Any, variables: list[keras.Variable]) -> list[keras.Variable]:
    """Builds an optimizer for these variables unless it was built for all of them; returns them.

    Raises:
        ValueError: If it was built without some of them.
    """
    if not optimizer.built:
        optimizer.build(variables)
    unknown = unknown_to(optimizer, variables)
    if unknown:
        raise ValueError(
            f"The optimizer was built without {unknown}, which were frozen or not there; compile the "
            "model again, or have layers thawed by keras_mtl.transfer.Unfreeze from the first `fit` on."
        )
    return variables


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
