"""Mean losses over an epoch, for methods that look at epochs rather than steps."""

from typing import Any

from keras import ops


def count_in(total: Any, count: Any, losses: Any, present: Any) -> None:
    """Adds a step's losses of the tasks that are present to the running sums, `(K,)` variables."""
    total.assign_add(ops.where(present, ops.stop_gradient(losses), 0.0))
    count.assign_add(ops.cast(present, "float32"))


def take_means(total: Any, count: Any) -> Any:
    """The mean loss of each task, `(K,)`, 0 for one that was never there; the sums begin anew."""
    means = total / ops.maximum(count, 1.0)
    for variable in (total, count):
        variable.assign(ops.zeros_like(variable))
    return means
