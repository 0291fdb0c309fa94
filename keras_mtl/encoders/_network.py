"""What `Pretrained` wraps: a network with the reading of raw data that it was trained with."""

import abc
from typing import Any

import keras


class Network(keras.layers.Layer, abc.ABC):
    """Raw data to features; a layer that can be made again from its config without a download.

    It is called with one tensor and `training`, and gives features, or features and their mask.

    Args:
        source: The name by which the network is known.

    Attributes:
        input_name: What the key of its input is unless a user says otherwise.
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

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "source": self.source}
