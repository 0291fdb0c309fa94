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
        preprocesses: Whether it is a `PreprocessingEncoder`, so that an exporter may part it.
    """

    accepts_missing = False
    calls_layers_plainly = True
    preprocesses = False

    def __init__(self, name: str | None = None, **kwargs: Any):
        # Not the class's name alone, which is that of an input such as "image" or "text".
        super().__init__(name=name or f"{type(self).__name__.lower()}_encoder", **kwargs)

    @abc.abstractmethod
    def make_inputs(self) -> dict[str, Any]:
        """New `keras.Input` tensors by name; the names are the keys of the data."""

    def features_of(self, inputs: dict[str, Any]) -> Any:
        """The encoder applied to the inputs that `make_inputs` made."""
        return self(next(iter(inputs.values())) if len(inputs) == 1 else inputs)


class PreprocessingEncoder(Encoder):
    """An encoder in two halves: what a client may do beforehand, and what needs the weights.

    A served model can begin between them (`export.saved_model(..., preprocessed=True)`). The halves
    are methods of one layer, so that weights, saved files and training know nothing of it.
    """

    preprocesses = True

    @abc.abstractmethod
    def preprocess(self, inputs: Any) -> dict[str, Any]:
        """What raw inputs become without any weight, such as ids of words.

        Args:
            inputs: As `call` takes them.

        Returns:
            Tensors `(B, ...)` by name; what takes the place of an input has that input's name.
        """

    @abc.abstractmethod
    def encode(self, prepared: dict[str, Any], training: bool | None = None) -> Any:
        """The features, from what `preprocess` gave; with all that is drawn while training."""

    @abc.abstractmethod
    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        """How a client makes what `preprocess` gives, without TensorFlow and Keras.

        Returns:
            For each name what JSON can hold: `what`, a sentence for people; `ids_below`, where whole
            numbers must be from 0 to below it; and whatever the sentence refers to, such as a
            `vocabulary`. Two encoders that give the same preprocess alike.
        """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.encode(self.preprocess(inputs), training=training)


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
