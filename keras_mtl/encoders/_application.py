"""A network of `keras.applications`, with its own preprocessing in front."""

import types
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_mtl.encoders._encoder import positive
from keras_mtl.encoders._network import Network


def applications() -> dict[str, Callable[..., keras.Model]]:
    """The networks of `keras.applications` by class name."""
    found = vars(keras.applications).items()
    return {name: made for name, made in found if name[0].isupper() and callable(made)}


@keras.saving.register_keras_serializable("keras_mtl")
class Application(Network):
    """Pictures of pixels from 0 to 255, `(B, h, w, channels)`, to a map `(B, h', w', d)`.

    Networks differ in what they were trained on: pixels as they are, in [-1, 1], or without the mean
    of ImageNet and blue first. Each comes with the function that says so, which is called here.

    Args:
        source: A name of `applications()`.
        backbone: That network without its classifier.
        size: `(height, width)` that pictures are resized to, or None.
        channels: 3, or 1 for grey pictures, which are shown to all three channels.
    """

    input_name = "image"
    masked = False

    def __init__(
        self, source: str, backbone: keras.Model, size: Any = None, channels: int = 3, **kwargs: Any
    ):
        super().__init__(source, **kwargs)
        self.backbone = backbone
        self.size = _sides(size)
        self.channels = channels
        if channels not in (1, 3):
            raise ValueError(
                f"`channels` of encoders.Pretrained is {channels!r}; expected 3, or 1 for grey "
                "pictures."
            )

    @classmethod
    def load(cls, source: str, weights: Any, size: Any, channels: int, dtype: Any) -> "Application":
        """The network of that name with these weights."""
        shape = (*(_sides(size) or (None, None)), 3)
        weights = "imagenet" if weights == "pretrained" else weights
        usual = keras.config.dtype_policy()
        # They take no policy of their own.
        keras.config.set_dtype_policy(dtype)
        try:
            made = applications()[source]
            backbone = made(include_top=False, weights=weights, input_shape=shape)
        finally:
            keras.config.set_dtype_policy(usual)
        # Of a dtype of its own, so that pixels are not rounded before they are scaled.
        return cls(source, backbone, size, channels, dtype="float32")

    def make_input(self, name: str) -> Any:
        return keras.Input((None, None, self.channels), name=name)

    def build(self, input_shape: Any) -> None:
        self.built = True

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        pictures = ops.cast(inputs, "float32")
        if self.size is not None:
            pictures = ops.image.resize(pictures, self.size, data_format="channels_last")
        if self.channels == 1:
            pictures = ops.repeat(pictures, 3, axis=-1)
        scale = _preprocessing(self.source)
        return {self.input_name: scale(pictures, data_format="channels_last")}

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        return self.backbone(inputs[self.input_name], training=training)

    def describe_preprocessing(self) -> dict[str, dict[str, Any]]:
        scale = _preprocessing(self.source)
        size = "" if self.size is None else "resized to `size` without antialiasing (bilinear), "
        return {
            self.input_name: {
                "what": f"pixels from 0 to 255, {size}in three channels, through `scale`",
                "size": self.size,
                "scale": f"{scale.__module__}.{scale.__name__}".replace("keras.src.", "keras."),
            }
        }

    def features_spec(self, inputs: Any) -> Any:
        shape = (inputs.shape[0], *self.backbone.output.shape[1:])
        return keras.KerasTensor(shape, self.backbone.output.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            # As it was made: with weights of ImageNet some networks have layers of their own.
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "size": self.size,
            "channels": self.channels,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Application":
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


def _preprocessing(source: str) -> Callable[..., Any]:
    """The `preprocess_input` that was written beside the network."""
    beside = applications()[source].__module__
    modules = [m for m in vars(keras.applications).values() if isinstance(m, types.ModuleType)]
    return next(m.preprocess_input for m in modules if m.preprocess_input.__module__ == beside)


def _sides(size: Any) -> list[int] | None:
    if size is None:
        return None
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(
            f"`size` of encoders.Pretrained is {size!r}; expected (height, width) for pictures."
        )
    return [positive("Pretrained", "size", side) for side in size]
