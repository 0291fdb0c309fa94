"""Images as the files that they come in: PNG, JPEG, GIF or BMP."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

_CHANNELS = (1, 3, 4)


def image_input(
    specs: Mapping[str, tf.TensorSpec], pixels: tuple[float, float] | None
) -> str | None:
    """The input that takes images, `(B, h, w, channels)`, if one alone does and its scale is known.

    Whole numbers are pixels from 0 to 255. What a number with a fraction means only the data know,
    so that such an input is served where `pixels` tells it.

    Raises:
        ValueError: If `pixels` is told, but is no scale or there is no such input.
    """
    found = [name for name, spec in specs.items() if _image(spec)]
    if pixels is None:
        return found[0] if len(found) == 1 and specs[found[0]].dtype == tf.uint8 else None
    if len(tuple(pixels)) != 2 or not np.all(np.isfinite(pixels)) or pixels[0] == pixels[1]:
        raise ValueError(
            f"`pixels` is {pixels!r}; expected what black and white are in the data, such as (0, 1) "
            "or (0, 255)."
        )
    if len(found) != 1:
        shapes = {name: tuple(spec.shape) for name, spec in specs.items()}
        raise ValueError(
            "`pixels` is for a model with one input of images, (B, h, w, channels) with 1, 3 or 4 "
            f"channels, but its inputs are {shapes}; leave it out."
        )
    return found[0]


def decoded(files: Any, spec: tf.TensorSpec, pixels: tuple[float, float] | None) -> Any:
    """Images from the content of their files, resized to the input's shape.

    Where that is free, they stay as they are, and those of one request must be of one size.

    Args:
        files: `(B,)` strings.
        spec: The input.
        pixels: What black and white are in the data; None for 0 and 255.
    """
    height, width, channels = spec.shape[1:]

    def one(content: Any) -> Any:
        image = tf.io.decode_image(content, channels=channels, expand_animations=False)
        if height is None or width is None:
            size = tf.shape(image)[:2]
            size = (size[0] if height is None else height, size[1] if width is None else width)
        else:
            size = (height, width)
        # As `keras_mtl.data.from_image_folder` does, so that a model gets what it was trained on.
        return tf.image.resize(tf.cast(image, tf.float32), size)

    made = tf.TensorSpec(spec.shape[1:], tf.float32)
    images = tf.map_fn(one, files, fn_output_signature=made)
    low, high = pixels or (0.0, 255.0)
    images = low + images * ((high - low) / 255.0)
    if spec.dtype.is_integer:
        images = tf.round(images)
    return tf.saturate_cast(images, spec.dtype)


def encoded(images: np.ndarray, pixels: tuple[float, float] | None) -> np.ndarray:
    """`(B,)` PNG files of images; the inverse of `decoded`, but for what 256 steps cannot tell."""
    low, high = pixels or (0.0, 255.0)
    levels = np.rint((np.asarray(images, "float64") - low) / (high - low) * 255.0)
    levels = np.clip(levels, 0, 255).astype("uint8")
    return np.array([tf.io.encode_png(image).numpy() for image in levels], object)


def _image(spec: tf.TensorSpec) -> bool:
    numbers = spec.dtype.is_floating or spec.dtype.is_integer
    return numbers and len(spec.shape) == 4 and spec.shape[-1] in _CHANNELS
