"""What every sharing scheme is: a layer from shared features to each task's features."""

import abc
from collections.abc import Sequence
from typing import Any

import keras


class Sharing(keras.layers.Layer, abc.ABC):
    """Gives each task its features; write `call(features) -> {task: features}`.

    Args:
        task_names: The K tasks; `build_model` tells them.

    Attributes:
        task_names: The K tasks.
    """

    def __init__(self, task_names: Sequence[str] = (), **kwargs: Any):
        super().__init__(**kwargs)
        self.task_names = list(task_names)
        self.supports_masking = True

    def connect(self, features: Any, task_names: Sequence[str]) -> dict[str, Any]:
        """The features of each task, on top of an encoder's.

        Raises:
            ValueError: If the scheme was connected to other tasks before.
        """
        if self.task_names and list(self.task_names) != list(task_names):
            raise ValueError(
                f"This {type(self).__name__} serves the tasks {list(self.task_names)} and cannot "
                f"also serve {list(task_names)}; make a new one for each model."
            )
        self.task_names = list(task_names)
        return self(features)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return dict.fromkeys(self.task_names, mask)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "task_names": list(self.task_names)}
