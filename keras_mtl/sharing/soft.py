"""Soft: a tower for each task, and a loss that ties the towers to each other."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._heads import TiesHeads
from keras_mtl.sharing._towers import Penalty, not_negative, stack_of_towers, widened, widths

Schedule: Any = keras.optimizers.schedules.LearningRateSchedule


def distance_to_mean(weights: Any) -> Any:
    """`sum_k ||w_k - mean(w)||^2` of weights `(K, P)`, `()`."""
    return ops.sum(ops.square(weights - ops.mean(weights, axis=0)))


def trace_norm(weights: Any) -> Any:
    """The sum of the singular values of weights `(K, P)`, `()`.

    It is the least `sum_i ||W^T v_i||` over orthonormal v, which the eigenvectors of the Gramian
    `W W^T`, `(K, K)`, attain. Where it is least v needs no gradient, so what is left is `U V^T`;
    towers that are equal, or zero, have no gradient along the singular values that vanish.
    """
    k = weights.shape[0]
    gramian = ops.matmul(weights, ops.transpose(weights))
    size = ops.sum(ops.diagonal(gramian))
    _, vectors = ops.eigh(gramian / ops.where(size > 0, size, 1.0))
    turned = ops.matmul(ops.transpose(ops.stop_gradient(vectors)), weights)
    squares = ops.sum(ops.square(turned), axis=1)
    # What float32 leaves of a singular value that is 0.
    kept = squares > (1e-6 * k) ** 2 * ops.max(squares)
    return ops.sum(ops.where(kept, ops.sqrt(ops.where(kept, squares, 1.0)), 0.0))


_TIES = {"l2": distance_to_mean, "trace_norm": trace_norm}


@keras.saving.register_keras_serializable("keras_mtl")
class Soft(TiesHeads):
    """A tower of dense layers for each task, all drawn to each other while they train.

    With w_k the weights and biases of a layer of tower k, each layer adds to the joint loss

    - "l2": `strength * sum_k ||w_k - mean(w)||^2`: the towers should be alike. Duong, Cohn, Bird
      and Cook, "Low Resource Dependency Parsing: Cross-lingual Parameter Sharing in a Neural
      Network Parser", ACL 2015, have one such distance between two parsers;
    - "trace_norm": `strength *` the sum of the singular values of the rows w_k, `(K, P)`: the
      towers should lie in a space of few dimensions. Yang and Hospedales, "Trace Norm Regularised
      Deep Multi-Task Learning", ICLR 2017 workshop, arXiv:1606.04038, its "last axis flattening".

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Args:
        tie: "l2" or "trace_norm".
        strength: A number; 0 leaves the towers apart, `float("inf")` makes them one tower, which
            is hard sharing. Or a `keras.optimizers.schedules.LearningRateSchedule` of how many
            training batches the layer has seen (a balancer that looks at a batch in parts, or
            twice, shows it as many).
        units: Width of each layer of a tower. `()` ties the kernels that give the tasks' scores,
            which must be of one shape, and adds no layer.
        activation: Of every layer.

    Attributes:
        steps: How many training batches the layer has seen, if the strength is a schedule.

    Raises:
        ValueError: If the tie is neither of these, the strength is negative or a width is not
            positive.
    """

    def __init__(
        self,
        tie: str = "l2",
        strength: Any = 1e-2,
        units: Sequence[int] | int = (64,),
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if tie not in _TIES:
            raise ValueError(f"`tie` is {tie!r}; expected one of {list(_TIES)}.")
        if isinstance(strength, Mapping):
            strength = keras.saving.deserialize_keras_object(strength)
        self.tie = tie
        self.scheduled = isinstance(strength, Schedule)
        self.strength: Any = (
            strength if self.scheduled else not_negative("Soft", "strength", strength)
        )
        self.units = widths("Soft", units) if units != () and units != [] else []
        if not self.units and self._is_one_tower:
            raise ValueError(
                "sharing.Soft with units=() ties the heads, which cannot be one; give a strength that "
                "is finite, or towers such as units=(64,)."
            )
        self.activation = activation

    @property
    def ties_heads(self) -> bool:
        """Whether the heads' own kernels are tied."""
        return not self.units

    @property
    def _is_one_tower(self) -> bool:
        return not self.scheduled and math.isinf(self.strength)

    def build(self, input_shape: Any) -> None:
        self.levels = stack_of_towers(
            ["tower"] if self._is_one_tower else self.task_names,
            self.units,
            input_shape,
            activation=self.activation,
            dtype=self.dtype_policy,
        )
        self.penalty = Penalty(self._distance)
        if self.scheduled:
            self.steps = self.add_weight((), "zeros", "int64", trainable=False, name="steps")
        self.built = True

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        towers = [features] * (1 if self._is_one_tower else len(self.task_names))
        for level in self.levels:
            towers = level(towers)
        if self._is_one_tower:
            return dict.fromkeys(self.task_names, towers[0])
        if training and self.strength and (self.units or self.knows_heads):
            self.add_loss(self.penalty(self._strength_now()))
        return dict(zip(self.task_names, towers, strict=True))

    def compute_output_shape(self, input_shape: Any) -> dict[str, Any]:
        width = self.units[-1] if self.units else input_shape[-1]
        return dict.fromkeys(self.task_names, widened(input_shape, width))

    def get_config(self) -> dict[str, Any]:
        strength = self.strength
        return {
            **super().get_config(),
            "tie": self.tie,
            "strength": keras.saving.serialize_keras_object(strength)
            if self.scheduled
            else strength,
            "units": list(self.units),
            "activation": self.activation,
        }

    def _strength_now(self) -> Any:
        if not self.scheduled:
            return ops.convert_to_tensor(self.strength, "float32")
        strength = ops.cast(self.strength(ops.convert_to_tensor(self.steps)), "float32")
        self.steps.assign_add(1)
        return strength

    def _distance(self) -> Any:
        tie = _TIES[self.tie]
        if self.ties_heads:
            return tie(ops.reshape(self.head_kernels(), (len(self.task_names), -1)))
        return sum(tie(level.stacked()) for level in self.levels)
