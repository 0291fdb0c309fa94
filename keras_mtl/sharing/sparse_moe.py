"""Sparse MoE: each row uses the k experts that its gate likes best, and all experts get work."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._experts import (
    Mixture,
    at_most_all,
    routers,
    softmax,
)
from keras_mtl.sharing._gated import mean_over_positions
from keras_mtl.sharing._towers import not_negative


def top_k_gates(logits: Any, k: int) -> tuple[Any, Any]:
    """A softmax over the k greatest logits, the others 0.

    A single gate is 1 whatever its logit. So that it learns all the same, its gradient is that of
    the logarithm of its softmax over all.

    Args:
        logits: `(..., E)`.
        k: How many are kept; of equals the first.

    Returns:
        The gates and which were chosen, 1 or 0, both `(..., E)`.
    """
    chosen = ops.top_k(logits, k)[1]
    chosen = ops.sum(ops.one_hot(chosen, logits.shape[-1], dtype=logits.dtype), axis=-2)
    if k == 1:
        likely = ops.sum(chosen * softmax(logits), axis=-1, keepdims=True)
        return chosen * (likely / ops.stop_gradient(likely)), chosen
    return softmax(ops.where(chosen > 0, logits, -1e9)), chosen


def imbalance(load: Any, likely: Any) -> Any:
    """`E sum_e f_e p_e`: 1 if experts are chosen alike, up to E / k if always the same k are; `()`.

    Args:
        load: f, `(E,)`: which share of the choices falls on each expert.
        likely: p, `(E,)`: the mean of its probability in the softmax over all.
    """
    return load.shape[0] * ops.sum(load * likely)


@keras.saving.register_keras_serializable("keras_mtl")
class SparseMoE(Mixture):
    """Lets each task use few of many experts, other ones from row to row, and keeps all in use.

    The gate of task k is the softmax over the k greatest of `W_k x`, 0 for the other experts. In
    training `noisy` adds `normal noise * softplus(V_k x)` to these. The load-balancing loss,
    `balance * E sum_e f_e p_e` of the second paper, counts the choices of all tasks together: tasks
    may prefer different experts, as long as none lies idle. All experts are computed for every row.

    Shazeer, Mirhoseini, Maziarz, Davis, Le, Hinton and Dean, "Outrageously Large Neural Networks:
    The Sparsely-Gated Mixture-of-Experts Layer", ICLR 2017, arXiv:1701.06538; Fedus, Zoph and
    Shazeer, "Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient
    Sparsity", JMLR 23, 2022, arXiv:2101.03961.

    Args:
        experts: How many experts there are.
        k: How many of them a task uses for a row or position.
        units: Width of each dense layer of an expert.
        activation: Of these layers.
        balance: Of the load-balancing loss in the joint loss.
        noisy: Whether noise is added to the logits in training.

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
        balance: float = 0.01,
        noisy: bool = False,
        **kwargs: Any,
    ):
        super().__init__(experts, units, activation, **kwargs)
        self.k = at_most_all("SparseMoE", k, self.experts)
        self.balance = not_negative("SparseMoE", "balance", balance)
        self.noisy = bool(noisy)
        if self.noisy:
            self.seeds = keras.random.SeedGenerator()

    def build_gates(self, input_shape: Any) -> None:
        of_experts = (self.task_names, self.experts, input_shape)
        self.routing = routers(self, *of_experts, "gates")
        if self.noisy:
            # Zeros, as in the paper: noise begins alike for all.
            self.spread = routers(self, *of_experts, "noise", kernel_initializer="zeros")

    def weigh(self, features: Any, training: bool, mask: Any) -> list[Any]:
        read = [features] * len(self.task_names)
        logits = self.routing(read)
        if training and self.noisy:
            logits = [
                mean + ops.softplus(spread) * self._normal(mean)
                for mean, spread in zip(logits, self.spread(read), strict=True)
            ]
        found = [top_k_gates(of_task, self.k) for of_task in logits]
        if training and self.balance:
            load = _over_tasks([chosen / self.k for _, chosen in found], mask)
            likely = _over_tasks([softmax(of_task) for of_task in logits], mask)
            self.add_loss(self.balance * imbalance(load, likely))
        return [gates for gates, _ in found]

    def _normal(self, like: Any) -> Any:
        return keras.random.normal(ops.shape(like), dtype=like.dtype, seed=self.seeds)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "k": self.k,
            "balance": self.balance,
            "noisy": self.noisy,
        }


def _over_tasks(values: list[Any], mask: Any) -> Any:
    """Means over tasks, rows and the positions that are no padding: K of `(..., E)` to `(E,)`."""
    means = [mean_over_positions(ops.cast(v, "float32"), mask) for v in values]
    return ops.mean(ops.stack(means), axis=0)
