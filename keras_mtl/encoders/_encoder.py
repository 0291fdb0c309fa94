"""What every encoder is: a layer that knows its own inputs."""

import abc
from typing import Any

import keras


class Encoder(keras.layers.Layer, abc.ABC):
    """Turns raw inputs into features that tasks share.

    Attributes:
        accepts_missing: Whether its inputs may hold NaN.
        calls_layers_plainly: Whether its layers are called from its `call` alone and under no gradient
            of their own, so that the gradient engine may look at what they read.
    """

    accepts_missing = False
    calls_layers_plainly = True

    def __init__(self, name: str | None = None, **kwargs: Any):
        # Not the class's name alone, which is that of an input such as "image" or "text".
        super().__init__(name=name or f"{type(self).__name__.lower()}_encoder", **kwargs)

    @abc.abstractmethod
    def make_inputs(self) -> dict[str, Any]:
        """New `keras.Input` tensors by name; the names are the keys of the data."""

    def features_of(self, inputs: dict[str, Any]) -> Any:
        """The encoder applied to the inputs that `make_inputs` made."""
        return self(next(iter(inputs.values())) if len(inputs) == 1 else inputs)


def positive(encoder: str, argument: str, value: int) -> int:
    """Returns `value` as an int of at least 1, or says what is wrong with it."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(
            f"`{argument}` of encoders.{encoder} is {value!r}; expected a whole number of at least "
            "1."
        )
    return int(value)


def rate(encoder: str, argument: str, value: float) -> float:
    """Returns `value` if 0 <= value < 1, or says what is wrong with it."""
    if not 0 <= value < 1:
        raise ValueError(
            f"`{argument}` of encoders.{encoder} is {value!r}; expected 0 or more and less than 1."
        )
    return float(value)
