"""What every sharing scheme is: a layer from shared features to each task's features."""

import abc
from collections.abc import Sequence
from typing import Any

import keras


class Sharing(keras.layers.Layer, abc.ABC):
    """Gives each task its features; write `call(features) -> {task: features}`.

    Args:
        task_names: The K tasks; `build_model` tells them.

    State is made by `add_weight` without `aggregation`: an assignment that replicas have to agree on
    would stop one in the midst of its forward pass and let the others' losses in among its own.
    """

    def __init__(self, task_names: Sequence[str] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self._task_names = list(task_names)
        self.supports_masking = True

    @property
    def task_names(self) -> list[str]:
        """The K tasks.

        Raises:
            ValueError: If nobody told it.
        """
        if not self._task_names:
            raise ValueError(
                f"This sharing.{type(self).__name__} was not told its tasks; give it to `build_model`, "
                "or call `connect(features, task_names)`."
            )
        return list(self._task_names)

    def connect(self, features: Any, task_names: Sequence[str]) -> dict[str, Any]:
        """The features of each task, on top of an encoder's.

        Raises:
            ValueError: If the scheme was connected to other tasks before.
        """
        if self._task_names and list(self._task_names) != list(task_names):
            raise ValueError(
                f"This {type(self).__name__} serves the tasks {list(self._task_names)} and cannot "
                f"also serve {list(task_names)}; make a new one for each model."
            )
        self._task_names = list(task_names)
        return self(features)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return dict.fromkeys(self.task_names, mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "task_names": list(self._task_names)}
