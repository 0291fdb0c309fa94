"""What mixtures of experts are made of: experts side by side, and their gates."""

import abc
import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.sharing._gated import Gated
from keras_mtl.sharing._towers import Towers, at_least_one


class Mixture(Gated):
    """A scheme with E experts that all tasks share; write `build_gates` and `weigh`.

    Args:
        experts: E.
        units: Width of each dense layer of an expert.
        activation: Of these layers.

    Raises:
        ValueError: If there is no expert, or the layers are not as they must be.
    """

    def __init__(
        self,
        experts: int = 4,
        units: Sequence[int] = (64,),
        activation: str = "relu",
        **kwargs: Any,
    ):
        super().__init__(units, activation, **kwargs)
        self.experts = at_least_one(type(self).__name__, "experts", experts)

    @abc.abstractmethod
    def build_gates(self, input_shape: Any) -> None:
        """Makes the variables of the gates."""

    @abc.abstractmethod
    def weigh(self, features: Any, training: bool, mask: Any) -> list[Any]:
        """The K gates, `(..., E)` each; adds the losses of training. See `mix`."""

    def build(self, input_shape: Any) -> None:
        self.bank = Experts(
            self.experts, self.units, self.activation, name="experts", dtype=self.dtype_policy
        )
        self.bank.build(input_shape)
        self.build_gates(input_shape)
        self.keep_gates([f"expert {i + 1}" for i in range(self.experts)])
        self.built = True

    def mix(self, features: Any, training: bool, mask: Any) -> tuple[list[Any], list[Any]]:
        gates = self.weigh(features, training, mask)
        experts = self.bank(features)
        return [mixture(gate, experts) for gate in gates], gates

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "experts": self.experts}


class Experts(keras.layers.Layer):
    """E stacks of dense layers of the same widths: `(..., d)` to `(..., E, units[-1])`.

    A layer of all experts is one product, with one kernel `(E, in, out)`: they belong to those tasks
    that read any of them.

    Args:
        experts: E.
        units: Width of each layer.
        activation: Of every layer.
    """

    def __init__(self, experts: int, units: Sequence[int], activation: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.experts = experts
        self.units = list(units)
        self.activation = activation
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.hidden = []
        for i, width in enumerate(self.units):
            layer = side_by_side(
                self.experts,
                width,
                input_shape,
                apart=i > 0,
                activation=self.activation,
                name=f"dense_{i}",
                dtype=self.dtype_policy,
            )
            input_shape = layer.compute_output_shape(input_shape)
            self.hidden.append(layer)
        self.built = True

    def call(self, features: Any) -> Any:
        for layer in self.hidden:
            features = layer(features)
        return features

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "experts": self.experts,
            "units": list(self.units),
            "activation": self.activation,
        }


def side_by_side(
    n: int, units: int, input_shape: Any, apart: bool = False, **dense: Any
) -> keras.layers.Layer:
    """N dense layers in one product, `(..., d)` to `(..., N, units)`; built.

    Each starts as a `Dense` layer alone would, by Glorot's bound for `(d, units)`.

    Args:
        n: N.
        units: Width of each.
        input_shape: Of the features.
        apart: Whether each reads features of its own, `(..., N, d)`.
        dense: Arguments of `keras.layers.EinsumDense`.
    """
    own = "n" if apart else ""
    # Rows and positions by letters: the gradient of an einsum over "..." is far slower.
    leading = "uvwxyz"[: len(input_shape) - 1 - len(own)]
    bound = math.sqrt(6 / (input_shape[-1] + units))
    layer = keras.layers.EinsumDense(
        f"{leading}{own}i,nio->{leading}no",
        (*input_shape[1 : len(leading)], n, units),
        **{
            "bias_axes": "no",
            "kernel_initializer": keras.initializers.RandomUniform(-bound, bound),
            **dense,
        },
    )
    layer.supports_masking = True
    layer.build(input_shape)
    return layer


def routers(
    layer: keras.layers.Layer,
    names: Sequence[str],
    units: int,
    input_shape: Any,
    name: str,
    kernel_initializer: str = "glorot_uniform",
) -> Towers:
    """Linear layers without bias for the logits of gates; built. In mixed precision they stay whole.

    Args:
        layer: What they are a part of.
        names: Of the gates.
        units: How many logits a gate has.
        input_shape: Of what they read.
        name: Of all together.
        kernel_initializer: Of each.
    """
    made = Towers(
        names,
        units,
        use_bias=False,
        kernel_initializer=kernel_initializer,
        name=name,
        dtype=layer.variable_dtype,
    )
    made.build(input_shape)
    return made


def mixture(gate: Any, experts: Any) -> Any:
    """The sum of experts weighted by a gate: `(..., E)` and `(..., E, u)` to `(..., u)`.

    Gate by gate, not all tasks' at once: a balancer takes for shared what more than one task's loss
    comes through to.
    """
    weights = ops.expand_dims(ops.cast(gate, experts.dtype), -2)
    return ops.squeeze(ops.matmul(weights, experts), -2)


def softmax(logits: Any) -> Any:
    """Shares along the last axis, of the same shape."""
    # Not `ops.softmax`, which takes a single expert for a mistake.
    powers = ops.exp(logits - ops.max(logits, axis=-1, keepdims=True))
    return powers / ops.sum(powers, axis=-1, keepdims=True)


def at_most_all(scheme: str, k: Any, experts: int) -> int:
    """How many experts a task uses.

    Raises:
        ValueError: If it is no positive number, or more than there are.
    """
    k = at_least_one(scheme, "k", k)
    if k > experts:
        raise ValueError(
            f"`k` of sharing.{scheme} is {k}, but there are {experts} experts; give a smaller `k` "
            "or more `experts`."
        )
    return k
