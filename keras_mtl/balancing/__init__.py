"""How K losses are traded against each other.

A balancer is a Keras layer with few variables of its own, saved and checkpointed with the model.
Every vector is `(K,)`, in the order of the model's tasks, and holds the losses after their alphas.

`LossBalancer`: one backward pass. Write `task_weights(losses (K,)) -> (K,)`, constants for the backward
pass, or `objective(losses (K,), present (K,)) -> ()` where the method states a scalar of its own.

To add one: a file named after the method, with a pure function and a thin final class; a test file
of the same name; one line below. `names()` and the contract tests find it by that line.
"""

from typing import Any

import keras

from keras_mtl._names import nearest
from keras_mtl.balancing._balancer import Balancer, LossBalancer
from keras_mtl.balancing.dwa import DWA
from keras_mtl.balancing.equal import Equal
from keras_mtl.balancing.rlw import RLW
from keras_mtl.balancing.static import Static
from keras_mtl.balancing.uncertainty import Uncertainty

_BALANCERS: dict[str, type[Balancer]] = {
    "dwa": DWA,
    "equal": Equal,
    "rlw": RLW,
    "static": Static,
    "uncertainty": Uncertainty,
}


def names() -> list[str]:
    """The names that `compile(balancer=...)` takes."""
    return sorted(_BALANCERS)


def get(identifier: Any) -> Balancer | None:
    """A balancer from its name, its config, or itself; None stays None.

    Raises:
        ValueError: If no balancer has that name.
        TypeError: If it is neither a name, a config nor a balancer.
    """
    if identifier is None or isinstance(identifier, Balancer):
        return identifier
    if isinstance(identifier, dict):
        return keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, str):
        if identifier in _BALANCERS:
            return _BALANCERS[identifier]()
        near = nearest(identifier, names())
        raise ValueError(
            f"`balancer` is {identifier!r}, expected one of {names()}"
            + (f"; did you mean {near!r}?" if near else ".")
        )
    raise TypeError(
        f"`balancer` must be a name, a keras_mtl.balancing object or None, but came as "
        f"{identifier!r} of type {type(identifier).__name__}."
    )


__all__ = [
    "DWA", "RLW", "Balancer", "Equal", "LossBalancer", "Static", "Uncertainty", "get", "names",
]  # fmt: skip
