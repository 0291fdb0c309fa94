"""What a balancer has seen of the tasks since an epoch began: weights, gradient norms, conflicts."""

from typing import Any

import keras
import numpy as np
from keras import ops


class Record:
    """Means over the steps of an epoch, of a balancer that is bound to K tasks.

    It is none of the balancer's state: no file holds it.

    Args:
        k: How many tasks.

    Attributes:
        of_epoch: The summary of the epoch that ended last. Where several processes train together,
            all of them must ask for a summary at once; this one may be read by any.
    """

    def __init__(self, k: int):
        self.k = k
        self.of_epoch: dict[str, np.ndarray] = {}
        # Metrics are what replicas add up when they are read.
        state = keras.metrics.Metric(name="record")
        self.weights = state.add_variable((k + 1,), "zeros", name="weights")
        self.pairs = state.add_variable((3, k, k), "zeros", name="pairs")

    def reset(self) -> None:
        """Begins anew."""
        for variable in (self.weights, self.pairs):
            variable.assign(np.zeros(variable.shape, "float32"))

    def add_weights(self, weights: Any) -> None:
        """Adds the weights of a step, `(K,)`; those that are not finite are of no step."""
        weights = ops.concatenate([ops.cast(weights, "float32"), ops.ones((1,), "float32")])
        sound = ops.all(ops.isfinite(weights))
        self.weights.assign_add(ops.where(sound, weights, ops.zeros_like(weights)))

    def add_gramian(
        self, gramian: Any, present: Any, sound: Any, *, lengths_only: bool = False
    ) -> None:
        """Adds the inner products of the K gradients in a step.

        Args:
            gramian: `(K, K)`.
            present: `(K,)` booleans, tasks with labels in the batch.
            sound: Whether they are finite.
            lengths_only: Whether nothing but its diagonal is known.
        """
        lengths = ops.sqrt(ops.where(present, ops.diagonal(gramian), 0.0))
        inverse = ops.divide_no_nan(1.0, lengths)
        cosines = gramian * ops.expand_dims(inverse, 1) * inverse
        there = ops.expand_dims(inverse, 1) * inverse > 0
        own = ops.eye(self.k, dtype="bool")
        if lengths_only:
            there = ops.logical_and(there, own)
        conflicts = ops.logical_and(there, cosines < 0)
        # What is known of a task alone stands where it would meet itself.
        packed = ops.stack(
            [
                ops.where(own, lengths, cosines),
                ops.cast(there, "float32"),
                ops.cast(ops.where(own, ops.any(conflicts), conflicts), "float32"),
            ]
        )
        self.pairs.assign_add(ops.where(sound, packed, ops.zeros_like(packed)))

    def summary(self) -> dict[str, np.ndarray]:
        """The means; what was never measured is not there.

        Returns:
            "weights" and "norms" (of the gradients), `(K,)`; "cosines" and "conflicts" (the share of
            steps in which the cosine of two was negative), `(K, K)`, NaN for tasks that never met and
            1 and 0 on the diagonal; "conflicting_steps", `()`, the share of steps with any conflict.
        """
        found: dict[str, np.ndarray] = {}
        weights = np.array(ops.convert_to_numpy(self.weights), "float64")
        if weights[-1] > 0:
            found["weights"] = weights[:-1] / weights[-1]
        sums, there, conflicts = np.array(ops.convert_to_numpy(self.pairs), "float64")
        steps = np.diag(there).max()
        if steps > 0:
            with np.errstate(invalid="ignore"):
                means, shares = sums / there, conflicts / there
            found["norms"] = np.diag(means).copy()
        if there[~np.eye(self.k, dtype=bool)].any():
            found["conflicting_steps"] = np.array(np.diag(conflicts).max() / steps)
            np.fill_diagonal(means, 1.0)
            np.fill_diagonal(shares, 0.0)
            found["cosines"], found["conflicts"] = means, shares
        return found
