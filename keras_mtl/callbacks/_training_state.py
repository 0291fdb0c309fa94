"""Everything of a model in training that a step changes, as arrays, and back.

Weights, the balancer's state, loss weights, the states of random layers, and the optimizer's slots,
step and learning rate, to the last bit.
"""

import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl._compile import prepared
from keras_mtl._seeds import seeds_of


def values_of(model: Any) -> list[np.ndarray]:
    """The value of every variable that a step changes."""
    return [_bits(np.asarray(keras.ops.convert_to_numpy(v))) for v in _variables(model)]


def assign_values(model: Any, values: Sequence[np.ndarray]) -> None:
    """Gives a model the values that `values_of` read from one like it, in another process.

    Raises:
        ValueError: If the model or its optimizer is another one; nothing is changed then.
    """
    with model.distribute_strategy.scope():
        prepared(model.optimizer, model.trainable_variables)
        variables = _variables(model)
        now = [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]
        if len(now) != len(values):
            raise ValueError(
                f"has {len(values)} variables, with those of the optimizer, where the model has "
                f"{len(now)}"
            )
        for variable, old, value in zip(variables, now, values, strict=True):
            like = _bits(old)
            if like.shape != value.shape or like.dtype != value.dtype:
                raise ValueError(
                    f"has {value.dtype} of shape {value.shape} where the model's {variable.path!r} is "
                    f"{like.dtype} of shape {like.shape}"
                )
        for variable, old, value in zip(variables, now, values, strict=True):
            variable.assign(value if old.dtype.isbuiltin == 1 else value.view(old.dtype))


def draws() -> list[Any]:
    """The states of Python's and NumPy's own random numbers, which callbacks and data may draw from."""
    return [random.getstate(), np.random.get_state()]


def assign_draws(states: Sequence[Any]) -> None:
    """Sets what `draws` read."""
    python, numpy = states
    random.setstate(python)
    np.random.set_state(numpy)


def _variables(model: Any) -> list[Any]:
    return [*model.weights, *seeds_of(model), *model.optimizer.variables]


def _bits(value: np.ndarray) -> np.ndarray:
    """A value in a type that NumPy's files know: bfloat16 and its like as whole numbers of its bits."""
    return value if value.dtype.isbuiltin == 1 else value.view(f"uint{8 * value.dtype.itemsize}")
