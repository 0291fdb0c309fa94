"""DualProj: the mean gradient projected onto what harms no task."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._preference import shares_of
from keras_mtl.balancing._preference_balancer import PreferenceBalancer
from keras_mtl.balancing._quadratic import nonnegative
from keras_mtl.balancing._scaling import cosines, lengths, matvec


def dualproj_weights(gramian: Any, preference: Any) -> Any:
    """`argmin_{w >= p} w^T G w`, `(K,)`."""
    norms = lengths(gramian)
    alike = cosines(gramian)
    added = nonnegative(alike, ops.expand_dims(-matvec(alike, preference * norms), 0))[0]
    return preference + added / norms


@keras.saving.register_keras_serializable("keras_mtl")
class DualProj(PreferenceBalancer):
    """Projects the mean gradient onto the dual cone of all: the nearest step that harms no task.

    The weights sum to 1 where no gradient conflicts with the mean, and to more where one does.

    Lopez-Paz and Ranzato, "Gradient Episodic Memory for Continual Learning", NeurIPS 2017,
    arXiv:1706.08840.

    Args:
        preference: How much each task counts, by name; 1 where a task is not named.
        gradients: "parameters" or "features".
        every: How often the gradients are balanced, in steps.

    Raises:
        TypeError: If the preference is not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return dualproj_weights(gramian, shares_of(self.wanted, present))
