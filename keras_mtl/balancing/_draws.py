"""Uniform draws for every entry of a variable, cheap enough to be made at every step."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def uniform(shape: Sequence[int], generator: keras.random.SeedGenerator) -> Any:
    """Draws from 0 to below 1, one for each entry of `shape`, from one random seed.

    The entries' indices are hashed with the seed by the last step of MurmurHash3 (Appleby 2011), a few
    integer operations that fuse with what comes after; XLA's own draws take longer on a CPU than a
    backward pass.
    """
    seed = ops.cast(keras.random.randint((), 0, 2**31 - 1, seed=generator), "uint32")
    bits = ops.cast(ops.arange(int(np.prod(shape)), dtype="int32"), "uint32")
    bits = bits * _word(0x9E3779B9) + seed
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _word(16))) * _word(0x85EBCA6B)
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _word(13))) * _word(0xC2B2AE35)
    bits = ops.bitwise_xor(bits, ops.right_shift(bits, _word(16)))
    # The upper 24 bits are what float32 can hold.
    numbers = ops.cast(ops.right_shift(bits, _word(8)), "float32") / 2.0**24
    return ops.reshape(numbers, tuple(shape))


def _word(value: int) -> Any:
    return ops.convert_to_tensor(np.uint32(value), dtype="uint32")
