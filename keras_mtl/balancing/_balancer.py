"""What every balancer is: a layer that no input flows through, bound to K tasks."""

import abc
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class Balancer(keras.layers.Layer, abc.ABC):
    """Trades K task losses against each other; its state is saved with the model.

    Attributes:
        task_names: The K tasks, once bound to a model.
    """

    task_names: list[str]

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.task_names = []

    def bind(self, task_names: Sequence[str]) -> None:
        """Meets the model's K tasks and makes the variables that depend on K.

        Raises:
            ValueError: If it was bound to other tasks before.
        """
        if self.task_names and list(task_names) != list(self.task_names):
            raise ValueError(
                f"This {type(self).__name__} balances the tasks {list(self.task_names)} and cannot "
                f"also balance {list(task_names)}; make a new one for each model."
            )
        if not self.task_names:
            self.task_names = list(task_names)
            self.make_state(len(self.task_names))
        # Keras loads the state of built layers only.
        self.built = True

    def make_state(self, k: int) -> None:
        """Makes the variables of K tasks, with `add_weight`."""

    def on_epoch_end(self) -> None:
        """Called by `fit` after each training epoch."""

    @abc.abstractmethod
    def joint(self, losses: Any, present: Any) -> Any:
        """The scalar whose gradient is the balanced one.

        Args:
            losses: `(K,)`, the tasks' losses after alpha; 0 where a task has no label in the batch.
            present: `(K,)` booleans, which tasks have labels in the batch.
        """


class LossBalancer(Balancer):
    """A balancer that needs the K losses alone, and one backward pass.

    Write `task_weights` (a layer has `weights` of its own), or `objective` where the method states
    its own scalar.
    """

    def task_weights(self, losses: Any) -> Any:
        """The weight of each task at this step, `(K,)`, taken as constants."""
        raise NotImplementedError(
            f"{type(self).__name__} must define `task_weights` or `objective`"
        )

    def objective(self, losses: Any, present: Any) -> Any:
        """The scalar to minimise; absent tasks must not enter it."""
        weights = ops.stop_gradient(self.task_weights(ops.stop_gradient(losses)))
        return ops.sum(ops.where(present, weights * losses, ops.zeros_like(losses)))

    def joint(self, losses: Any, present: Any) -> Any:
        return self.objective(losses, present)
