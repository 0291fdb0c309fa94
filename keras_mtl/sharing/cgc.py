"""CGC: experts of each task beside shared ones."""

import keras

from keras_mtl.sharing._extraction import Extractive


@keras.saving.register_keras_serializable("keras_mtl")
class CGC(Extractive):
    """Gives each task experts of its own beside the shared ones, so that tasks disturb less.

    Task k reads the sum of its specific experts and the shared ones, weighted by
    `softmax(W_k x)`; no task reads another's. Customized Gate Control is PLE of a single level,
    and MMoE if `specific` is 0. `gates` tells `(..., specific + shared)` a task, the specific first.

    Tang, Liu, Zhao and Gong, "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning
    (MTL) Model for Personalized Recommendations", RecSys 2020.

    Args:
        specific: How many experts each task has for itself; 0 leaves the shared ones.
        shared: How many experts all tasks share.
        units: Width of each dense layer of an expert.
        activation: Of these layers.

    Raises:
        ValueError: If there is no shared expert or no layer, or a width is not positive.
    """

    @property
    def depth(self) -> int:
        return 1
