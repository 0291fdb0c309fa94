"""Sluice: towers in subspaces, of which the tasks learn what to share, layer by layer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl._relations import Relates, Relation
from keras_mtl.sharing._layered import Layered
from keras_mtl.sharing._towers import (
    Penalty,
    at_least_one,
    mixed,
    not_negative,
    share,
    shares_at_start,
)


def overlap(kernel: Any, subspaces: int) -> Any:
    """`sum_{s < t} ||W_s^T W_t||_F^2`, `()`: 0 where what the subspaces read is orthogonal.

    Args:
        kernel: `(d, units)`, whose columns fall into so many blocks W_s.
        subspaces: How many.
    """
    blocks = ops.split(kernel, subspaces, axis=1)
    pairs = [(s, t) for i, s in enumerate(blocks) for t in blocks[i + 1 :]]
    return sum(ops.sum(ops.square(ops.matmul(ops.transpose(s), t))) for s, t in pairs)


@keras.saving.register_keras_serializable("keras_mtl")
class Sluice(Layered, Relates):
    """A tower for each task, each layer in subspaces that learn what they let through to others.

    - A layer of tower k has S subspaces. After it, each of the K S subspaces is a sum of all of
      them by learnt alphas, `(K S, K S)` a layer.
    - The features of task k are a sum of its layers by learnt betas, `(K, layers)`, all alike at
      the start.
    - The joint loss gets `orthogonality * sum ||W_s^T W_t||_F^2` over towers, layers and pairs of
      subspaces, with W_s, `(d, units / S)`, the weights of a subspace.

    `(B, ..., d)` to `(B, ..., units[-1])` for each task.

    Ruder, Bingel, Augenstein and Sogaard, "Latent Multi-Task Architecture Learning", AAAI 2019,
    arXiv:1705.08142. One subspace and the betas on the last layer are `CrossStitch`.

    Args:
        units: Width of each layer of a tower; all the same, for they are added up.
        activation: Of every layer.
        subspaces: S, which divides the width.
        self_weight: The share of a subspace itself at the start; the others share the rest.
        orthogonality: Weight of the penalty; 0 for none.

    Raises:
        ValueError: If widths differ or are not a multiple of `subspaces`, or a number is out of
            range.
    """

    def __init__(
        self,
        units: Sequence[int] | int = (64, 64),
        activation: str = "relu",
        subspaces: int = 2,
        self_weight: float = 0.9,
        orthogonality: float = 1e-2,
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        self.subspaces = at_least_one("Sluice", "subspaces", subspaces)
        self.self_weight = share("Sluice", "self_weight", self_weight)
        self.orthogonality = not_negative("Sluice", "orthogonality", orthogonality)
        if len(set(self.units)) > 1 or self.units[0] % self.subspaces:
            raise ValueError(
                f"`units` of sharing.Sluice is {list(self.units)}; expected one width for all "
                f"layers, a multiple of the {self.subspaces} `subspaces`; use "
                f"{[self.units[0] // self.subspaces * self.subspaces or self.subspaces] * len(self.units)}."
            )

    def build(self, input_shape: Any) -> None:
        k, n = len(self.task_names), len(self.task_names) * self.subspaces
        self.levels = self.towers(input_shape)
        start = keras.initializers.Constant(shares_at_start(n, self.self_weight))
        self.alphas = [
            self.add_weight((n, n), start, name=f"alphas_{i}") for i in range(len(self.units))
        ]
        self.betas = self.add_weight(
            (k, len(self.units)),
            keras.initializers.Constant(1.0 / len(self.units)),
            name="betas",
        )
        self.penalty = Penalty(self._overlap)
        self.built = True

    def call(self, features: Any, training: bool | None = None) -> dict[str, Any]:
        towers, layers = [features] * len(self.task_names), []
        for level, alphas in zip(self.levels, self.alphas, strict=True):
            parts = [
                part
                for tower in level(towers)
                for part in ops.split(tower, self.subspaces, axis=-1)
            ]
            parts = mixed(alphas, parts)
            towers = [
                ops.concatenate(parts[i : i + self.subspaces], axis=-1)
                for i in range(0, len(parts), self.subspaces)
            ]
            layers.append(towers)
        # Task by task, so that each reads its own betas and layers alone.
        out = [
            sum(self.betas[i, j] * layer[i] for j, layer in enumerate(layers))
            for i in range(len(towers))
        ]
        if training and self.orthogonality and self.subspaces > 1:
            self.add_loss(self.penalty(ops.convert_to_tensor(self.orthogonality, "float32")))
        return dict(zip(self.task_names, out, strict=True))

    def relations(self) -> dict[str, Relation]:
        """What each subspace reads of every other, layer by layer, and each task of its layers."""
        parts = [f"{task} {i + 1}" for task in self.task_names for i in range(self.subspaces)]
        layers = [f"layer {i + 1}" for i in range(len(self.units))]
        return {
            **{
                layer: Relation(ops.convert_to_numpy(alphas), parts, parts)
                for layer, alphas in zip(layers, self.alphas, strict=True)
            },
            "layers read": Relation(ops.convert_to_numpy(self.betas), self.task_names, layers),
        }

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "subspaces": self.subspaces,
            "self_weight": self.self_weight,
            "orthogonality": self.orthogonality,
        }

    def _overlap(self) -> Any:
        kernels = [tower.kernel for level in self.levels for tower in level.towers]
        return sum(overlap(ops.convert_to_tensor(w), self.subspaces) for w in kernels)
