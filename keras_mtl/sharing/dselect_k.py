"""DSelect-k: a smooth gate that ends at k experts."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._experts import (
    Mixture,
    at_most_all,
    side_by_side,
    softmax,
)
from keras_mtl.sharing._gated import mean_over_positions
from keras_mtl.sharing._towers import not_negative

# What experts must have of a selector at least, for formulas that divide by it.
_LEAST = 0.01


def smooth_step(t: Any, gamma: float = 1.0) -> Any:
    """0 up to -gamma/2, 1 from gamma/2 on, and the smooth cubic between; of the shape of `t`."""
    t = ops.clip(t / gamma, -0.5, 0.5)
    return 0.5 + t * (1.5 - 2 * t * t)


def single_experts(digits: Any, experts: int) -> Any:
    """What selectors give each expert: the product of the digits of its number, or their complements.

    Args:
        digits: `(..., m)` in [0, 1], lowest digit first, with 2^m at least E.
        experts: E.

    Returns:
        `(..., E)`, which sums to 1 if E is 2^m: otherwise some is left on numbers of no expert.
    """
    given = ops.ones_like(ops.sum(digits, axis=-1, keepdims=True))
    for j in range(digits.shape[-1]):
        digit = digits[..., j : j + 1]
        ones = ops.convert_to_tensor([bool(expert >> j & 1) for expert in range(experts)])
        given = given * ops.where(ones, digit, 1 - digit)
    return given


def entropy_of(shares: Any) -> Any:
    """`-sum_e r_e log r_e`, `(..., E)` to `(...)`; exactly 0 where all is 0 or 1."""
    return -ops.sum(shares * ops.log(ops.maximum(shares, 1e-12)), axis=-1)


def unreachable(shares: Any) -> Any:
    """`1 / sum_e r_e - 1`, `(..., E)` to `(...)`; 0 where nothing is left on numbers of no expert.

    Below a sum of 0.01 it goes on as the tangent there, so that no step is thrown out by it.
    """
    total = ops.sum(shares, axis=-1)
    kept = ops.maximum(total, _LEAST)
    return 1 / kept - 1 + (kept - total) / _LEAST**2


def whole(gate: Any) -> Any:
    """A gate divided by its sum, `(..., E)`; of one that sums to nearly nothing all count alike."""
    total = ops.sum(gate, axis=-1, keepdims=True)
    kept = ops.maximum(total, _LEAST)
    return (gate + (kept - total) / gate.shape[-1]) / kept


@keras.saving.register_keras_serializable("keras_mtl")
class DSelectK(Mixture):
    """Chooses at most k experts for each task, by a gate that gradients can train.

    Each of k selectors holds m = ceil(log2 E) digits s = S(z), where S is the smooth step. It gives
    expert e `r_e = prod_j s_j or (1 - s_j)`, as digit j of e is 1 or 0, and the gate is
    `sum_i softmax(w)_i r^i`. S is exactly 0 or 1 outside of its middle, so that a selector ends at
    one expert, to which the entropy of its r, an added loss, drives it. Two selectors may end at the
    same one.

    If E is no power of two, `1 / sum_e r_e - 1` of each selector is added to the loss, which keeps it
    from the numbers of no expert; the gate is divided by its sum, which the authors' code leaves
    below 1 until the selectors have ended. These losses are means over rows, where the authors' are
    sums, and sums over selectors and tasks.

    Hazimeh, Zhao, Chowdhery, Sathiamoorthy, Chen, Mazumder, Hong and Chi, "DSelect-k: Differentiable
    Selection in the Mixture of Experts with Applications to Multi-Task Learning", NeurIPS 2021,
    arXiv:2106.03760. The width of the smooth step is 1, as there.

    Args:
        experts: How many experts there are.
        k: How many of them a task uses at most.
        units: Width of each dense layer of an expert.
        activation: Of these layers.
        entropy: Of the selectors' entropy in the joint loss.
        static: Whether a task chooses once for all rows; each row or position chooses otherwise.

    Raises:
        ValueError: If there is no expert or no layer, a width is not positive, `k` is more than the
            experts, or the coefficient is negative.
    """

    def __init__(
        self,
        experts: int = 4,
        k: int = 2,
        units: Sequence[int] = (64,),
        activation: str = "relu",
        entropy: float = 0.01,
        static: bool = False,
        **kwargs: Any,
    ):
        super().__init__(experts, units, activation, **kwargs)
        self.k = at_most_all("DSelectK", k, self.experts)
        self.entropy = not_negative("DSelectK", "entropy", entropy)
        self.static = bool(static)

    def build_gates(self, input_shape: Any) -> None:
        # The digits of each selector, then its logit; not rounded in mixed precision.
        shape = (self.k, (self.experts - 1).bit_length() + 1)
        names = [f"selectors_{name}" for name in self.task_names]
        self.selectors = [
            self.add_weight(shape=shape, initializer=_undecided(), name=name, autocast=False)
            if self.static
            else side_by_side(
                *shape,
                input_shape,
                kernel_initializer=_undecided(),
                bias_initializer=_undecided(),
                name=name,
                dtype=self.variable_dtype,
            )
            for name in names
        ]

    def weigh(self, features: Any, training: bool, mask: Any) -> list[Any]:
        logits = [ops.convert_to_tensor(s) if self.static else s(features) for s in self.selectors]
        chosen = [
            single_experts(smooth_step(of_task[..., :-1]), self.experts) for of_task in logits
        ]
        if training:
            self._regularise(chosen, mask)
        shares = [softmax(of_task[..., -1]) for of_task in logits]
        gates = [
            whole(ops.sum(ops.expand_dims(share, -1) * of_task, axis=-2))
            for share, of_task in zip(shares, chosen, strict=True)
        ]
        if self.static:
            rows = ops.zeros_like(features[..., :1])
            gates = [ops.cast(rows, gate.dtype) + gate for gate in gates]
        return gates

    def _regularise(self, chosen: list[Any], mask: Any) -> None:
        chosen = [ops.cast(of_task, "float32") for of_task in chosen]
        losses = []
        if self.entropy:
            losses += [self.entropy * entropy_of(of_task) for of_task in chosen]
        if self.experts & (self.experts - 1):
            losses += [unreachable(of_task) for of_task in chosen]
        if losses:
            # Of `(..., k)`, a selector each; static ones have no rows.
            means = losses if self.static else [mean_over_positions(x, mask) for x in losses]
            self.add_loss(ops.sum(ops.stack(means)))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k": self.k,
            "entropy": self.entropy,
            "static": self.static,
        }


def _undecided() -> Any:
    """Selectors begin in the middle, and none like another."""
    return keras.initializers.RandomUniform(-0.01, 0.01)
