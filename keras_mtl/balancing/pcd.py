"""PCD: one task comes first, and the others are promised some of their progress."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl._names import refuse_unknown
from keras_mtl.balancing._gramian_balancer import GramianBalancer
from keras_mtl.balancing._quadratic import nonnegative
from keras_mtl.balancing._scaling import cosines, lengths, matvec


def pcd_weights(gramian: Any, scales: Any, first: Any, present: Any, *, tau: float) -> Any:
    """`argmin |d - s_1 g_1|` with `<s_j g_j, d> >= tau |s_j g_j|^2`, at the length of g_1, `(K,)`.

    Args:
        gramian: `(K, K)`.
        scales: `(K,)`, what each gradient is multiplied by.
        first: `(K,)`, 1 for the task that comes first, else 0.
        present: `(K,)`, 1 for a task that is present, else 0.
        tau: The progress promised to the others, of what a step along their own gradient makes.
    """
    scaled = gramian * scales * ops.expand_dims(scales, 1)
    norms, alike = lengths(scaled), cosines(scaled)
    others = present * (1.0 - first)
    to_first = matvec(scaled, first)
    wanted = (tau * ops.diagonal(scaled) - to_first) / norms
    largest = ops.max(ops.abs(others * wanted))
    wanted = ops.where(others > 0, wanted, -largest)
    apart = ops.where(ops.expand_dims(others, 1) * others > 0, alike, ops.eye(alike.shape[0]))
    u = others * nonnegative(apart, ops.expand_dims(wanted, 0))[0]
    # Promises that nothing can keep together are not made.
    kept = matvec(apart, u) >= wanted - 1e-3 * largest
    u = ops.where(ops.all(ops.logical_or(kept, others == 0)), u, 0.0)
    raw = (first + u / norms) * scales
    square = ops.sum(raw * matvec(gramian, raw))
    own = ops.sum(first * ops.diagonal(gramian))
    sound = square > 1e-6 * ops.square(ops.sum(ops.abs(raw) * lengths(gramian)))
    longer = ops.sqrt(own / ops.where(sound, square, 1.0))
    return ops.where(sound, longer, 0.0) * raw


@keras.saving.register_keras_serializable("keras_mtl")
class PCD(GramianBalancer):
    """Follows the gradient of one task as nearly as it can while the others gain a little at least.

    The gradients are compared over the moving root mean square of their lengths, and the step is as
    long as the first task's gradient. Where no step keeps all promises, none is made.

    "Not All Objectives Are Born Equal: Priority-Constrained Descent for Hierarchical Multi-Objective
    Optimization", TMLR 2026, arXiv:2606.29521.

    Args:
        first: The task that comes first; by default the first one.
        tau: What the others are promised, as a part of the progress of a step along their own.
        momentum: How much of the mean square of the lengths stays at a step.
        gradients: "parameters" or "features".
        every: How often the gradients are balanced, in steps.

    Raises:
        ValueError: If a number is out of range, or, when it meets the model, there is no such task.
    """

    def __init__(
        self,
        first: str | None = None,
        tau: float = 0.02,
        momentum: float = 0.999,
        gradients: str = "parameters",
        **kwargs: Any,
    ):
        super().__init__(gradients, **kwargs)
        if not 0 <= tau <= 1 or not 0 <= momentum < 1:
            raise ValueError(
                f"PCD came with `tau` {tau!r} and `momentum` {momentum!r}; expected a number from 0 to "
                "1, and one from 0 to below 1."
            )
        self.first = first
        self.tau = float(tau)
        self.momentum = float(momentum)

    def make_state(self, k: int) -> None:
        first = self.task_names[0] if self.first is None else self.first
        refuse_unknown("first", [first], self.task_names)
        self._first = np.array([name == first for name in self.task_names], "float32")
        self.squares = self.vector("squares")
        self.steps_seen = self.vector("steps_seen")

    def task_weights(self, gramian: Any, losses: Any, present: Any) -> Any:
        steps = self.steps_seen + present
        moved = self.momentum * self.squares + (1.0 - self.momentum) * ops.diagonal(gramian)
        squares = ops.where(present > 0, moved, self.squares)
        self.steps_seen.assign(steps)
        self.squares.assign(squares)
        mean = squares / ops.maximum(1.0 - ops.power(self.momentum, steps), 1e-8)
        scales = ops.rsqrt(mean + 1e-8)
        # Without the first task its place falls to the next that is there.
        first = _leader(self._first, present)
        return pcd_weights(gramian, scales, first, present, tau=self.tau)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "first": self.first,
            "tau": self.tau,
            "momentum": self.momentum,
        }


def _leader(first: Any, present: Any) -> Any:
    """One task that is present, the first if it is, `(K,)`."""
    rank = 2.0 * first * present + present
    k = present.shape[0]
    return present * ops.one_hot(ops.argmax(rank), k)
