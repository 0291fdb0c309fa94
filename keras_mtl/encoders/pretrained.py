"""Pictures or texts in, features of a network that has seen many before out."""

from typing import Any

import keras

from keras_mtl.encoders._application import Application, applications
from keras_mtl.encoders._encoder import PreprocessingEncoder
from keras_mtl.encoders._network import Network
from keras_mtl.encoders._padding import WithMask
from keras_mtl.encoders._preset import Preset


@keras.saving.register_keras_serializable("keras_mtl")
class Pretrained(PreprocessingEncoder):
    """A network that was trained elsewhere, of keras.applications or of KerasHub, on raw data.

    Named by a class of `keras.applications`, such as "MobileNetV3Small", it reads pictures of
    pixels from 0 to 255, `(B, h, w, channels)`, and gives a map `(B, h', w', d)`; what the network
    wants done to pixels is done inside. Named by a preset of KerasHub, such as
    "bert_tiny_en_uncased" or "hf://...", or by a folder that holds one, it reads strings, cut into
    word pieces inside: raw texts `(B,)` give `(B, T, d)` and a mask of padding, T pieces in the
    longest row. With `words` the input is words, `(B, W)` and "" as padding, each with the
    features of its first piece, as tags want it: `(B, W, d)` (Devlin et al., "BERT", NAACL 2019,
    arXiv:1810.04805; Chen, Zhuo and Wang, "BERT for Joint Intent Classification and Slot Filling",
    2019, arXiv:1902.10909). A word beyond the room that a network has gets zeros.

    With `trainable=False` it is frozen: no weight moves, and it runs as in inference, batch
    normalisation and dropout included. A saved model holds network and vocabulary, and loads
    without the preset; texts need `pip install "keras-mtl[text]"`.

    Args:
        source: The name or folder.
        weights: "pretrained", None for weights at random, or a file of weights.
        size: `(height, width)` that pictures are resized to, as they come by default; for texts
            the largest number of word pieces, the network's own by default.
        words: Whether texts come as words.
        channels: Of the pictures; grey ones, 1, are shown to all three channels of the network.
        input_name: The key in the data; "image", "text" or "tokens" by default.
        **kwargs: `trainable`, `name` and `dtype`, as in Keras.

    Raises:
        ValueError: If the name is unknown, the network reads something else, or an argument is not
            for it.
        ImportError: If KerasHub is needed and is not installed.
    """

    # A network may call a layer twice, or inside of a gradient of its own.
    calls_layers_plainly = False

    def __init__(
        self,
        source: Any,
        weights: Any = "pretrained",
        size: Any = None,
        words: bool = False,
        channels: int = 3,
        input_name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.weights_from = weights
        self.size = size
        self.words = words
        self.channels = channels
        if isinstance(source, Network):
            self.network = source
        else:
            self.network = _loaded(str(source), weights, size, words, channels, self.dtype_policy)
        self.source = self.network.source
        self.input_name = input_name or self.network.input_name
        self.network.input_name = self.input_name
        if not self.trainable:
            # Of its own: batch normalisation looks at the layer's own flag.
            self.network.trainable = False

    def make_inputs(self) -> dict[str, Any]:
        return {self.input_name: self.network.make_input(self.input_name)}

    def features_of(self, inputs: dict[str, Any]) -> Any:
        found = self(inputs[self.input_name])
        return WithMask(name=f"{self.name}_features")(found) if self.network.masked else found

    def build(self, input_shape: Any) -> None:
        self.built = True

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        return self.network.preprocess(inputs)

    def encode(self, prepared: dict[str, Any], training: bool | None = None) -> Any:
        return self.network(prepared, training=training if self.trainable else False)

    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        return self.network.describe_preprocessing()

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network.features_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "weights": self.weights_from,
            "size": self.size,
            "words": self.words,
            "channels": self.channels,
            "input_name": self.input_name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Pretrained":
        config = dict(config)
        return cls(keras.saving.deserialize_keras_object(config.pop("network")), **config)


def _loaded(
    source: str, weights: Any, size: Any, words: bool, channels: int, dtype: Any
) -> Network:
    if source in applications():
        if words:
            raise ValueError(
                f"`words` of encoders.Pretrained is for texts, but {source!r} reads pictures; leave "
                "it out."
            )
        return Application.load(source, weights, size, channels, dtype)
    if channels != 3:
        raise ValueError(
            f"`channels` of encoders.Pretrained is for pictures, but {source!r} is no name of "
            "keras.applications; leave it out."
        )
    return Preset.load(source, weights, words, size, dtype)
