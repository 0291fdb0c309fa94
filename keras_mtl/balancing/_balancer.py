"""What every balancer is: a layer that no input flows through, bound to K tasks."""

import abc
from collections.abc import Sequence
from typing import Any

import keras


class Balancer(keras.layers.Layer, abc.ABC):
    """Trades K tasks against each other; its state is saved with the model.

    Attributes:
        needs: What a step must give it: "losses", "gramian" or "gradients".
        task_names: The K tasks, once bound to a model.
        last_weights: The weight of each task at the last step, `(K,)`, for whoever watches.
    """

    needs: str
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
            self.last_weights = self.vector("last_weights", "ones")
        # Keras loads the state of built layers only.
        self.built = True

    def make_state(self, k: int) -> None:
        """Makes the variables of K tasks, with `vector` or `add_weight`."""

    def vector(self, name: str, initializer: Any = "zeros", trainable: bool = False) -> Any:
        """A variable with a number for each task, `(K,)`."""
        return self.add_weight(
            shape=(len(self.task_names),),
            initializer=initializer,
            trainable=trainable,
            dtype="float32",
            name=name,
        )

    def on_epoch_end(self) -> None:
        """Called by `fit` after each training epoch."""

    def load_own_variables(self, store: Any) -> None:
        # Release 0.1.0 kept no `last_weights`, which are the last to be made.
        last = str(len(self._trainable_variables) + len(self._non_trainable_variables) - 1)
        names = list(store.keys())
        if self.task_names and last not in names:
            store = {**{name: store[name] for name in names}, last: self.last_weights}
        super().load_own_variables(store)
