"""UPGrad: every gradient projected onto what harms no task, then added up."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._preference import shares_of
from keras_mtl.balancing._preference_balancer import PreferenceBalancer
from keras_mtl.balancing._quadratic import nonnegative
from keras_mtl.balancing._scaling import cosines, lengths


def upgrad_weights(gramian: Any, preference: Any) -> Any:
    """`sum_i p_i argmin_{w >= e_i} w^T G w`, `(K,)`."""
    norms = lengths(gramian)
    alike = cosines(gramian)
    added = nonnegative(alike, -alike)
    return preference + ops.sum(ops.expand_dims(preference * norms, 1) * added, axis=0) / norms


@keras.saving.register_keras_serializable("keras_mtl")
class UPGrad(PreferenceBalancer):
    """Projects each gradient onto the dual cone of all, and takes the mean of the projections.

    No task's loss grows, and the step is linear in the size of each gradient. The weights sum to 1
    where no gradients conflict, and to more where they do.

    Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", 2024, arXiv:2406.16232.

    Args:
        preference: How much each task counts, by name; 1 where a task is not named.
        gradients: "parameters" or "features".
        every: How often the gradients are balanced, in steps.

    Raises:
        TypeError: If the preference is not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return upgrad_weights(gramian, shares_of(self.wanted, present))
