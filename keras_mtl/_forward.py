"""What a forward pass finds of each task."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mtl._losses import TaskLoss


class Seen(NamedTuple):
    """What a forward pass found, by task; all that is recorded of a step.

    Attributes:
        labels: The labels that were given.
        weights: The sample weights that were given.
        served: The outputs as they are served.
        losses: The scalar loss of each trained task, before alpha; 0 without a label.
        counts: How many labels each of them is a mean over, in this replica's batch.
        extra: What layers add to the joint loss (regularisation), or None.
        joint: The alpha-weighted joint loss with `extra`, `()`.
    """

    labels: Mapping[str, Any]
    weights: Mapping[str, Any]
    served: Mapping[str, Any]
    losses: Mapping[str, Any]
    counts: Mapping[str, Any]
    extra: Any
    joint: Any


def judged(
    task_losses: Mapping[str, TaskLoss],
    labels: Mapping[str, Any],
    scores: Mapping[str, Any],
    served: Mapping[str, Any],
    weights: Mapping[str, Any],
    class_weight: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The loss of every trained task and how many labels it is a mean over, in the tasks' order.

    Raises:
        ValueError: If no task has both a loss and labels.
    """
    if not any(labels.get(name) is not None for name in task_losses):
        raise ValueError(
            f"No task has both a loss and labels; the labels are of {sorted(labels)}, the "
            f"losses of {list(task_losses)}."
        )
    losses, counts = {}, {}
    for name, loss in task_losses.items():
        if labels.get(name) is None:
            losses[name] = counts[name] = ops.zeros((), "float32")
            continue
        losses[name], counts[name] = loss(
            labels[name],
            scores[name] if loss.reads_scores else served[name],
            weights.get(name),
            class_weight.get(name),
        )
    return losses, counts


def parts_of(data: Any, count: int) -> list[Any]:
    """A batch in parts that have no row in common: row i goes to part `i mod count`.

    A batch of fewer rows than parts gives some of its rows twice, so that no part is empty.
    """
    if count == 1:
        return [data]
    rows = ops.shape(keras.tree.flatten(data)[0])[0]

    def part(p: int) -> Any:
        return keras.tree.map_structure(lambda v: None if v is None else v[p % rows :: count], data)

    return [part(p) for p in range(count)]
