"""What `Pretrained` wraps: a network with the reading of raw data that it was trained with."""

import abc
from typing import Any

import keras


class Network(keras.layers.Layer, abc.ABC):
    """Raw data to features; a layer that can be made again from its config without a download.

    It is in two halves, as a `PreprocessingEncoder` is: `preprocess` takes one tensor, and the layer
    is called with what that gave and `training`; it gives features, or features and their mask.

    Args:
        source: The name by which the network is known.

    Attributes:
        input_name: The key of its input, unless a user says otherwise.
        masked: Whether it gives `(features, mask)`.
    """

    input_name: str
    masked: bool

    def __init__(self, source: str, **kwargs: Any):
        super().__init__(name=kwargs.pop("name", "network"), **kwargs)
        self.source = source

    @abc.abstractmethod
    def make_input(self, name: str) -> Any:
        """A new `keras.Input` of that name."""

    @abc.abstractmethod
    def preprocess(self, inputs: Any) -> dict[str, Any]:
        """Tensors by name; what takes the place of the raw data has the name `input_name`."""

    @abc.abstractmethod
    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        """How that is made, as `PreprocessingEncoder.describe_preprocessing` tells it."""

    @abc.abstractmethod
    def features_spec(self, inputs: Any) -> Any:
        """Shapes and dtypes of what the network gives for raw data of this shape."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "source": self.source}
