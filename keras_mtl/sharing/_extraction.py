"""Levels that extract what tasks share and what each has for itself."""

import abc
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._experts import Experts, mixture, routers, softmax
from keras_mtl.sharing._gated import Gated
from keras_mtl.sharing._towers import at_least_one, widened


class Extractive(Gated):
    """Levels of specific and shared experts; write `depth`.

    Args:
        specific: How many experts each task has for itself, in each level; 0 leaves the shared.
        shared: How many experts all tasks share, in each level.
        units: Width of each dense layer of an expert.
        activation: Of these layers.

    Raises:
        ValueError: If there is no shared expert or no layer, or a width is not positive.
    """

    def __init__(
        self,
        specific: int = 2,
        shared: int = 2,
        units: Sequence[int] = (64,),
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        scheme = type(self).__name__
        self.specific = 0 if specific == 0 else at_least_one(scheme, "specific", specific)
        self.shared = at_least_one(scheme, "shared", shared)

    @property
    @abc.abstractmethod
    def depth(self) -> int:
        """How many levels there are."""

    def build(self, input_shape: Any) -> None:
        self.extractions = []
        for i in range(self.depth):
            level = Extraction(
                self.task_names,
                self.specific,
                self.shared,
                self.units,
                self.activation,
                last=i == self.depth - 1,
                name=f"level_{i}",
                dtype=self.dtype_policy,
            )
            level.build([input_shape] * len(self.task_names), input_shape)
            self.extractions.append(level)
            input_shape = widened(input_shape, self.units[-1])
        own = [f"own {i + 1}" for i in range(self.specific)]
        self.keep_gates([*own, *(f"shared {i + 1}" for i in range(self.shared))])
        self.built = True

    def mix(self, features: Any, training: bool, mask: Any) -> tuple[list[Any], list[Any]]:
        own, common = [features] * len(self.task_names), features
        for level in self.extractions:
            own, common, gates = level(own, common)
        return own, gates

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "specific": self.specific, "shared": self.shared}


class Extraction(keras.layers.Layer):
    """One level: the features of the K tasks and the shared ones, to those of the next level.

    Args:
        task_names: The K tasks.
        specific: S, experts a task.
        shared: H, shared experts.
        units: Width of each dense layer of an expert.
        activation: Of these layers.
        last: Whether no level comes after, so that no shared features are needed.
    """

    def __init__(
        self,
        task_names: Sequence[str],
        specific: int,
        shared: int,
        units: Sequence[int],
        activation: str,
        last: bool,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.task_names = list(task_names)
        self.specific = specific
        self.shared = shared
        self.units = list(units)
        self.activation = activation
        self.last = last
        self.supports_masking = True

    def build(self, own_shape: Any, common_shape: Any) -> None:
        def experts(count: int, name: str) -> Experts:
            made = Experts(count, self.units, self.activation, name=name, dtype=self.dtype_policy)
            made.build(common_shape)
            return made

        self.shared_experts = experts(self.shared, "shared")
        self.own_experts = [
            experts(self.specific, f"specific_{name}") for name in self.task_names if self.specific
        ]
        self.gates = routers(
            self, self.task_names, self.specific + self.shared, common_shape, "gates"
        )
        if not self.last:
            everyone = len(self.task_names) * self.specific + self.shared
            self.shared_gate = routers(self, ["shared"], everyone, common_shape, "shared_gate")
        self.built = True

    def call(self, own: Sequence[Any], common: Any) -> tuple[list[Any], Any, list[Any]]:
        """One step up.

        Args:
            own: K of `(..., d)`, the tasks' features.
            common: `(..., d)`, the shared features.

        Returns:
            The tasks' features, K of `(..., u)`; the shared ones `(..., u)`, which the last level
            leaves as they came; the tasks' gates, K of `(..., S + H)`.
        """
        shared = self.shared_experts(common)
        specific = [bank(x) for bank, x in zip(self.own_experts, own, strict=False)]
        gates = [softmax(logits) for logits in self.gates(own)]
        mixtures = [
            mixture(gate, joined([*specific[k : k + 1], shared])) for k, gate in enumerate(gates)
        ]
        if not self.last:
            (logits,) = self.shared_gate([common])
            common = mixture(softmax(logits), joined([*specific, shared]))
        return mixtures, common, gates

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "task_names": list(self.task_names),
            "specific": self.specific,
            "shared": self.shared,
            "units": list(self.units),
            "activation": self.activation,
            "last": self.last,
        }


def joined(banks: Sequence[Any]) -> Any:
    """The experts of several banks, `(..., E, u)` each, as one."""
    return banks[0] if len(banks) == 1 else ops.concatenate(banks, axis=-2)
