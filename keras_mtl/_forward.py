"""What a forward pass finds of each task."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_mtl._losses import TaskLoss

NOTHING: Mapping[str, Any] = {}


class Seen(NamedTuple):
    """What a forward pass found, by task; all that is recorded of a step.

    Attributes:
        labels: The labels that were given.
        weights: The sample weights that were given.
        served: The outputs as they are served.
        losses: The scalar loss of each trained task, before alpha; 0 without a label.
        counts: How many labels each of them is a mean over, in this replica's batch.
        added: What layers add to the joint loss (regularisation).
        joint: The alpha-weighted joint loss with what is added, `()`.
        left_out: Which tasks are left out of this step, booleans by name.
    """

    labels: Mapping[str, Any]
    weights: Mapping[str, Any]
    served: Mapping[str, Any]
    losses: Mapping[str, Any]
    counts: Mapping[str, Any]
    added: Sequence[Any]
    joint: Any = None
    left_out: Mapping[str, Any] = NOTHING

    @property
    def extra(self) -> Any:
        """The sum of what is added, or None."""
        return ops.sum(self.added) if self.added else None

    def without(self, left_out: Mapping[str, Any], weigh: Callable[["Seen"], Any]) -> "Seen":
        """As if there were no labels of some tasks.

        Args:
            left_out: Booleans by task.
            weigh: The joint loss of what is left.
        """
        losses = {name: ops.where(left_out[name], 0.0, loss) for name, loss in self.losses.items()}
        counts = {
            name: ops.where(left_out[name], 0.0, count) for name, count in self.counts.items()
        }
        rest = self._replace(losses=losses, counts=counts, left_out=left_out)
        return rest._replace(joint=weigh(rest))


def judged(
    task_losses: Mapping[str, TaskLoss],
    labels: Mapping[str, Any],
    scores: Mapping[str, Any],
    served: Mapping[str, Any],
    weights: Mapping[str, Any],
    class_weight: Mapping[str, Any],
    left_out: Mapping[str, Any],
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
        read = scores[name] if loss.reads_scores else served[name]
        if name in left_out:
            # No gradient passes a value that is not chosen, not even one that is not a number.
            read = _like(ops.where(left_out[name], ops.zeros_like(read), read), read)
        found, count = loss(labels[name], read, weights.get(name), class_weight.get(name))
        if name in left_out:
            found, count = (ops.where(left_out[name], 0.0, value) for value in (found, count))
        losses[name], counts[name] = found, count
    return losses, counts


def _like(tensor: Any, other: Any) -> Any:
    """The tensor with the mask of another."""
    tensor._keras_mask = getattr(other, "_keras_mask", None)
    return tensor


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
