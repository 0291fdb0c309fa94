"""PLE: experts of each task beside shared ones, level by level."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl.sharing._extraction import Extractive
from keras_mtl.sharing._towers import at_least_one


@keras.saving.register_keras_serializable("keras_mtl")
class PLE(Extractive):
    """Separates what tasks share from what they do not, level by level.

    A level mixes, for task k, its specific experts of its own features of the level below and the
    shared experts of the shared features, weighted by a softmax gate that reads the task's. All but
    the last level also mix all experts, of every task, into the shared features of the next.
    `gates` tells those of the last level, `(..., specific + shared)` a task, the specific first.

    Tang, Liu, Zhao and Gong, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning
    (MTL) Model for Personalized Recommendations", RecSys 2020.

    Args:
        levels: How many levels there are; one makes it `CGC`.
        specific: How many experts each task has for itself, in each level; 0 leaves the shared.
        shared: How many experts all tasks share, in each level.
        units: Width of each dense layer of an expert.
        activation: Of these layers.

    Raises:
        ValueError: If there is no level, shared expert or layer, or a width is not positive.
    """

    def __init__(
        self,
        levels: int = 2,
        specific: int = 2,
        shared: int = 2,
        units: Sequence[int] = (64,),
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(specific, shared, units, activation, **kwargs)
        self.levels = at_least_one("PLE", "levels", levels)

    @property
    def depth(self) -> int:
        return self.levels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "levels": self.levels}
