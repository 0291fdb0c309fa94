"""A few rows of a model's inputs: given by a user, or made up from what the inputs are."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

# Large enough for a network that halves an image five times.
_SIDE = 64


def checked_rows(
    argument: str, given: Any, specs: Mapping[str, tf.TensorSpec]
) -> dict[str, np.ndarray]:
    """Rows as arrays by input name, each of the input's dtype and shape.

    Args:
        argument: What the user calls them.
        given: Arrays by input name, or one where there is one input; sequences of different lengths
            as lists, which are padded with "" or 0; True for one row that is made up.
        specs: The inputs by name.

    Raises:
        ValueError: If names, shapes or numbers of rows are not those of the inputs.
    """
    if given is True:
        return made_up(specs)
    if not isinstance(given, Mapping):
        given = dict.fromkeys(specs, given) if len(specs) == 1 else {}
    if set(given) != set(specs):
        raise ValueError(
            f"`{argument}` came with {sorted(map(str, given))}; expected rows of the inputs "
            f"{list(specs)}, as a dict by these names."
        )
    rows = {name: _array(argument, name, given[name], spec) for name, spec in specs.items()}
    counts = {name: len(values) for name, values in rows.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ValueError(
            f"`{argument}` has these numbers of rows: {counts}; expected the same of every input, "
            "and at least one."
        )
    return rows


def made_up(specs: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """One row of each input: the word "example", or zeros; the shortest where the length is free."""
    rows = {}
    for name, spec in specs.items():
        free = _SIDE if len(spec.shape) == 4 else 1
        shape = (1, *(free if size is None else size for size in spec.shape[1:]))
        text = spec.dtype == tf.string
        rows[name] = (
            np.full(shape, b"example", object)
            if text
            else np.zeros(shape, spec.dtype.as_numpy_dtype)
        )
    return rows


def _array(argument: str, name: str, given: Any, spec: tf.TensorSpec) -> np.ndarray:
    try:
        if isinstance(given, (list, tuple)):
            # Of different lengths, perhaps.
            made = tf.ragged.constant(given)
            made = made.to_tensor() if isinstance(made, tf.RaggedTensor) else made
        else:
            made = tf.constant(np.asarray(given))
        if made.dtype != spec.dtype:
            made = tf.cast(made, spec.dtype)
    except (TypeError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"`{argument}` has values of input {name!r} that are no {spec.dtype.name}: "
            f"{str(error).splitlines()[0]}"
        ) from None
    if not spec.shape.is_compatible_with(made.shape):
        raise ValueError(
            f"`{argument}` has values of input {name!r} in the shape {tuple(made.shape)}; expected "
            f"{tuple(spec.shape)}, where None is any size."
        )
    array: np.ndarray = made.numpy()
    return array
