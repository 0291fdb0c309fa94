"""What a signature of a SavedModel takes and gives, and whether arrays are that."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.serving._errors import invalid


@dataclasses.dataclass(frozen=True)
class Spec:
    """One tensor.

    Attributes:
        dtype: TensorFlow's name of the type: `"float32"`, `"string"`, ...
        shape: The size of every axis, None where any size will do; None where even the number of
            axes is free.
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def rows(self) -> bool:
        """Whether the first axis is one of rows, of which there may be any number."""
        return bool(self.shape) and self.shape[0] is None  # type: ignore[index]

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype} of shape {_shown(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Signature:
    """The named tensors that a call takes and gives.

    Attributes:
        name: What a request calls it.
        inputs: By name, what it takes.
        outputs: By name, what it gives.
        independent_rows: Whether a row's answer stays what it is when other rows of its shape come
            in the same call.
    """

    name: str
    inputs: dict[str, Spec]
    outputs: dict[str, Spec]
    independent_rows: bool = False

    def checked(self, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The arrays in the order of `inputs`, strings as bytes, if they are what is taken.

        Raises:
            ServingError: INVALID_ARGUMENT, with what was expected and what came.
        """
        if arrays.keys() != self.inputs.keys():
            raise invalid(
                f"Signature {self.name!r} takes the inputs {sorted(self.inputs)}, but came "
                f"{sorted(map(str, arrays))[:20]}."
            )
        return {name: self._checked(name, spec, arrays[name]) for name, spec in self.inputs.items()}

    def _checked(self, name: str, spec: Spec, array: Any) -> np.ndarray:
        array = np.asarray(array)
        if spec.dtype == "string":
            fits = array.dtype.kind in "SUO"
        else:
            fits = array.dtype == tf.as_dtype(spec.dtype).as_numpy_dtype
        if not fits or not _fits(array.shape, spec.shape):
            raise invalid(
                f"Input {name!r} of signature {self.name!r} is {spec}, but came {array.dtype} of "
                f"shape {array.shape}."
            )
        return self._bytes(name, array) if spec.dtype == "string" else array

    def _bytes(self, name: str, array: np.ndarray) -> np.ndarray:
        flat = array.astype(object).ravel()
        if set(map(type, flat)) <= {bytes}:
            return flat.reshape(array.shape)
        try:
            encoded = [s if isinstance(s, bytes) else s.encode() for s in flat]
        except (AttributeError, UnicodeEncodeError):
            raise invalid(
                f"Input {name!r} of signature {self.name!r} takes strings, but came one that is no "
                "text that UTF-8 can write."
            ) from None
        joined = np.empty(len(encoded), object)
        joined[:] = encoded
        return joined.reshape(array.shape)


def spec_of(info: Any) -> Spec:
    """The spec of a TensorInfo message."""
    shape = info.tensor_shape
    sizes = tuple(None if d.size < 0 else d.size for d in shape.dim)
    return Spec(tf.as_dtype(info.dtype).name, None if shape.unknown_rank else sizes)


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...] | None) -> bool:
    return expected is None or (
        len(shape) == len(expected)
        and all(e is None or s == e for s, e in zip(shape, expected, strict=True))
    )


def _shown(shape: tuple[int | None, ...]) -> str:
    sizes = ", ".join("?" if size is None else str(size) for size in shape)
    return f"({sizes},)" if len(shape) == 1 else f"({sizes})"
