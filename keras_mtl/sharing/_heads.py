"""Sharing schemes that tie the heads' own weights."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from keras_mtl._graph import HeadsTied
from keras_mtl.sharing._sharing import Sharing


class _Kernels:
    """The kernels of the heads, `(d, u)` each; not tracked by Keras, since they are the heads' own."""

    def __init__(self) -> None:
        self.by_task: dict[str, Any] = {}


class TiesHeads(Sharing, HeadsTied):
    """A scheme that may add a loss of the kernels which give the tasks' scores: `head_kernels`.

    Write `ties_heads`: whether it does.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._heads = _Kernels()

    def meet_heads(self, kernels: Mapping[str, Sequence[Any]]) -> None:
        """Takes note of the heads' kernels; the model tells them, also when it is loaded.

        Args:
            kernels: By task, the kernels that this task alone depends on, in their order.

        Raises:
            ValueError: If a task has none, or they are of different shapes.
        """
        if not self.ties_heads:
            return
        without = [task for task in self.task_names if not kernels.get(task)]
        last = {task: kernels[task][-1] for task in self.task_names if task not in without}
        shapes = {task: tuple(kernel.shape) for task, kernel in last.items()}
        if without or len(set(shapes.values())) > 1:
            raise ValueError(
                f"sharing.{type(self).__name__} with units=() ties the kernels that give the tasks' "
                "scores, which must be of one shape, but "
                + (f"the tasks {without} have none" if without else f"they are {shapes}")
                + "; give it layers of its own, such as units=(64,)."
            )
        self._heads.by_task = last

    @property
    def knows_heads(self) -> bool:
        """Whether the heads are there."""
        return bool(self._heads.by_task)

    def head_kernels(self) -> Any:
        """The heads' kernels, `(K, d, u)`."""
        return ops.stack([k.value for k in self._heads.by_task.values()])
