"""EPO: losses in a wanted proportion, on the Pareto front."""

from typing import Any

import keras
from keras import ops

from keras_mtl.balancing._interior_point import Program, minimum
from keras_mtl.balancing._preference import shares_of
from keras_mtl.balancing._preference_balancer import PreferenceBalancer
from keras_mtl.balancing._scaling import matvec

_UNIFORM = 1e-4


def anchors(losses: Any, preference: Any, present: Any) -> tuple[Any, Any, Any]:
    """How far `r_k L_k` are from uniform, the pull towards it, and the largest of them.

    Returns:
        `r L` over their sum, `(K,)`; their relative entropy to uniform, `()`; and the anchor
        directions `r (log(K r L / sum) - entropy)`, `(K,)`; 0 for absent tasks.
    """
    count = ops.maximum(ops.sum(present), 1.0)
    weighed = present * preference * ops.maximum(losses, 1e-12)
    shares = weighed / ops.maximum(ops.sum(weighed), 1e-30)
    logs = ops.where(present > 0, ops.log(ops.maximum(shares * count, 1e-12)), 0.0)
    entropy = ops.sum(shares * logs)
    return shares, entropy, present * preference * (logs - entropy)


def epo_weights(gramian: Any, losses: Any, preference: Any, present: Any) -> Any:
    """The simplex weights of EPO search, `(K,)`, by its linear program.

    Far from the wanted proportion they balance: `max w^T C a`, where no task with `(C a)_j <= 0`
    rises faster than the anchor direction a would have it, nor the one that is worst off at all. Near
    it they descend: `max w^T C 1`, where no loss rises and the proportion is kept.

    Args:
        gramian: C, `(K, K)`.
        losses: `(K,)`.
        preference: r, `(K,)`.
        present: `(K,)`, 1 for a task that is present, else 0.
    """
    k = gramian.shape[0]
    here = present > 0
    both = ops.expand_dims(present, 1) * present
    size = ops.max(ops.abs(gramian) * both)
    c = gramian * both / ops.where(size > 0, size, 1.0)
    shares, entropy, a = anchors(losses, preference, present)
    pulled = matvec(c, a)
    far = entropy > _UNIFORM
    worst = ops.logical_and(here, shares >= ops.max(shares) * (1.0 - 1e-6))
    gains = ops.logical_and(here, pulled > 0)
    bounds = ops.where(ops.any(gains), ops.where(worst, 0.0, pulled), 0.0)
    bounds = ops.where(far, bounds, 0.0)
    free = ops.logical_and(far, ops.logical_and(gains, ops.logical_not(worst)))
    asked = ops.logical_and(here, ops.logical_not(free))
    keep = ops.minimum(ops.max(ops.where(here, pulled, -1e30)), 0.0)
    aim = ops.where(far, pulled, matvec(c, present))
    aim = aim / ops.maximum(ops.max(ops.abs(aim)), 1e-12)
    # Each condition in units of its own largest number, so that none is too small to be seen.
    rows = ops.concatenate([c, ops.expand_dims(pulled, 0)], axis=0)
    bounds = ops.concatenate([bounds, ops.reshape(keep, (1,))])
    units = ops.maximum(ops.max(ops.abs(rows), axis=1), ops.abs(bounds))
    units = ops.where(units > 0, units, 1.0)
    asked = ops.concatenate([asked, ops.reshape(ops.logical_not(far), (1,))])
    program = Program(
        quadratic=ops.zeros((k, k)),
        # What is absent counts for nothing, and is drawn to 0.
        linear=ops.where(here, -aim, 1.0),
        equal=ops.expand_dims(present, 0),
        equal_to=ops.ones((1,)),
        above=ops.concatenate(
            [
                ops.eye(k),
                ops.where(ops.expand_dims(asked, 1), rows / ops.expand_dims(units, 1), 0.0),
            ],
            axis=0,
        ),
        at_least=ops.concatenate([ops.zeros((k,)), ops.where(asked, bounds / units, -1.0)]),
    )
    wanted = shares_of(preference, present)
    found, broken = minimum(program, wanted)
    found = present * ops.maximum(found, 0.0)
    found = found / ops.maximum(ops.sum(found), 1e-30)
    return ops.where(broken < 1e-3, found, wanted)


@keras.saving.register_keras_serializable("keras_mtl")
class EPO(PreferenceBalancer):
    """Finds the point of the Pareto front at which the losses have the wanted proportion.

    At that point `r_k L_k` is the same for all tasks. Far from the proportion it steps towards it, if
    need be uphill for some; near it, down for all. Where no weights meet what a step must (gradients
    that vanish or cancel), those of the preference are taken. The weights sum to 1. Losses must be
    positive.

    Mahapatra and Rajan, "Multi-Task Learning with User Preferences: Gradient Descent with Controlled
    Ascent in Pareto Optimization", ICML 2020, arXiv:2010.06313.

    Args:
        preference: r by task name, the inverse of the losses' wanted proportions; 1 where a task is
            not named.
        gradients: "parameters" or "features".
        every: How often the gradients are balanced, in steps.

    Raises:
        TypeError: If the preference is not given by name.
        ValueError: If a number is negative, or, when it meets the model, a task is unknown.
    """

    needs_positive_losses = True

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        return epo_weights(gramian, losses, self.wanted, present)
