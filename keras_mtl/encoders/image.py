"""Pictures in, features out."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl._names import nearest
from keras_mtl.encoders._encoder import Encoder, positive, rate

_KINDS = ("cnn", "resnet")


@keras.saving.register_keras_serializable("keras_mtl")
class Image(Encoder):
    """Convolutions over one picture a row: `(B, h, w, c)` to a map `(B, h', w', d)` or `(B, d)`.

    "cnn": a convolution, batch normalisation and pooling by 2 for each of `filters`. "resnet": two
    residual blocks of two convolutions for each (He, Zhang, Ren and Sun, "Deep Residual Learning
    for Image Recognition", CVPR 2016). Any other kind is a name of `keras.applications`, such as
    "MobileNetV2", without its classifier and with weights at random.

    Args:
        shape: `(h, w, c)` of the pictures.
        kind: "cnn", "resnet", or a name of `keras.applications`.
        filters: Channels of each stage; not used by `keras.applications`.
        units: Above 0, the map is flattened into a dense layer of that width, which keeps where
            things are; at 0 the tasks average the map over space.
        dropout: Rate before that dense layer, and after it.
        input_name: The key of the pictures in the data. Values are taken as they are.

    Raises:
        ValueError: If the kind is unknown or a number is out of range.
    """

    def __init__(
        self,
        shape: Sequence[int],
        kind: str = "cnn",
        filters: Sequence[int] = (32, 64),
        units: int = 0,
        dropout: float = 0.0,
        input_name: str = "image",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if len(tuple(shape)) != 3:
            raise ValueError(
                f"`shape` of encoders.Image is {tuple(shape)}; expected (height, width, channels)."
            )
        self.shape = [positive("Image", "shape", s) for s in shape]
        self.kind = kind
        self.filters = [positive("Image", "filters", f) for f in filters]
        self.units = 0 if units == 0 else positive("Image", "units", units)
        self.dropout = rate("Image", "dropout", dropout)
        self.input_name = input_name
        self.trunk = self._make_trunk()

    def _make_trunk(self) -> keras.Model:
        pictures = keras.Input(tuple(self.shape), name="pictures")
        if self.kind == "cnn":
            features = _cnn(pictures, self.filters)
        elif self.kind == "resnet":
            features = _resnet(pictures, self.filters)
        else:
            made = getattr(keras.applications, self.kind, None)
            if not callable(made):
                known = [name for name in dir(keras.applications) if name[0].isupper()]
                near = nearest(self.kind, [*_KINDS, *known])
                raise ValueError(
                    f"`kind` of encoders.Image is {self.kind!r}; expected 'cnn', 'resnet' or a name "
                    "of keras.applications" + (f"; did you mean {near!r}?" if near else ".")
                )
            features = made(include_top=False, weights=None, input_shape=tuple(self.shape))(
                pictures
            )
        if self.units:
            features = keras.layers.Flatten(name="flatten")(features)
            features = keras.layers.Dropout(self.dropout, name="dropout_before")(features)
            features = keras.layers.Dense(self.units, activation="relu", name="dense")(features)
            features = keras.layers.Dropout(self.dropout, name="dropout_after")(features)
        return keras.Model(pictures, features, name="trunk")

    def make_inputs(self) -> dict[str, Any]:
        return {self.input_name: keras.Input(tuple(self.shape), name=self.input_name)}

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.trunk(inputs, training=training)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], *self.trunk.output_shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "shape": list(self.shape),
            "kind": self.kind,
            "filters": list(self.filters),
            "units": self.units,
            "dropout": self.dropout,
            "input_name": self.input_name,
        }


def _cnn(features: Any, filters: Sequence[int]) -> Any:
    for i, channels in enumerate(filters):
        features = _conv(features, channels, f"stage_{i}")
        features = keras.layers.Activation("relu", name=f"stage_{i}_relu")(features)
        features = keras.layers.MaxPooling2D(padding="same", name=f"stage_{i}_pool")(features)
    return features


def _resnet(features: Any, filters: Sequence[int]) -> Any:
    features = _conv(features, filters[0], "stem")
    features = keras.layers.Activation("relu", name="stem_relu")(features)
    for i, channels in enumerate(filters):
        for j in range(2):
            name, strides = f"stage_{i}_block_{j}", 2 if i and not j else 1
            straight = features
            if strides != 1 or features.shape[-1] != channels:
                straight = _conv(features, channels, f"{name}_skip", kernel=1, strides=strides)
            bent = _conv(features, channels, f"{name}_a", strides=strides)
            bent = keras.layers.Activation("relu", name=f"{name}_a_relu")(bent)
            bent = _conv(bent, channels, f"{name}_b")
            features = keras.layers.Add(name=f"{name}_add")([straight, bent])
            features = keras.layers.Activation("relu", name=f"{name}_relu")(features)
    return features


def _conv(features: Any, channels: int, name: str, *, kernel: int = 3, strides: int = 1) -> Any:
    features = keras.layers.Conv2D(
        channels, kernel, strides=strides, padding="same", use_bias=False, name=f"{name}_conv"
    )(features)
    return keras.layers.BatchNormalization(name=f"{name}_norm")(features)
