"""Which head is made first, where one reads the scores of another."""

from collections.abc import Mapping, Sequence

from keras_mtl._names import nearest
from keras_mtl.tasks._task import Task
from keras_mtl.tasks.binary import Binary


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks, each after those whose scores it reads, else as they are listed.

    Raises:
        ValueError: If a task reads one that is not there or not binary, or tasks read each other in
            a circle.

    >>> listed = [Binary("sold", given="visit"), Binary("click"), Binary("visit", given="click")]
    >>> [task.name for task in in_order(listed)]
    ['click', 'visit', 'sold']
    """
    by_name = {task.name: task for task in tasks}
    for task in tasks:
        for name in task.reads:
            _check(task, name, by_name)
    ordered: dict[str, Task] = {}
    while len(ordered) < len(by_name):
        waiting = [task for task in tasks if task.name not in ordered]
        ready = [task for task in waiting if all(name in ordered for name in task.reads)]
        if not ready:
            circle = " -> ".join(repr(name) for name in _circle(waiting))
            raise ValueError(
                f"The tasks {circle} read each other's scores in a circle; leave `given` or "
                "`at_most` out of one of them."
            )
        ordered.update({task.name: task for task in ready})
    return list(ordered.values())


def _check(task: Task, name: str, by_name: Mapping[str, Task]) -> None:
    """Raises a `ValueError` if `task` cannot read the scores of the task of that name."""
    if name not in by_name:
        near = nearest(name, by_name)
        raise ValueError(
            f"Task {task.name!r} reads the scores of {name!r}, but the tasks are {list(by_name)}; "
            + (f"did you mean {near!r}?" if near else "correct its `given` or `at_most`.")
        )
    if not isinstance(by_name[name], Binary):
        raise ValueError(
            f"Task {task.name!r} reads the scores of {name!r}, which is a "
            f"{type(by_name[name]).__name__}; expected a Binary task, whose scores are the log-odds "
            "of one chance."
        )


def _circle(waiting: Sequence[Task]) -> list[str]:
    """Names of tasks of which each reads the next, the last the same as the first.

    Args:
        waiting: Tasks each of which reads another of them.
    """
    reads = {task.name: task.reads for task in waiting}
    path = [waiting[0].name]
    while path.count(path[-1]) == 1:
        path.append(next(name for name in reads[path[-1]] if name in reads))
    return path[path.index(path[-1]) :]
