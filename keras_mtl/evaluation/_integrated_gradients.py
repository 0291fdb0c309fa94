"""Integrated gradients: what each part of a row adds to what a task answers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_mtl._input_gradients import (
    EmbeddingCall,
    EmbeddingReader,
    PathGradients,
    Way,
)
from keras_mtl.evaluation._baselines import Starts
from keras_mtl.evaluation._embedded import Embedded, embedded_in
from keras_mtl.evaluation._quadrature import integrate

# Rows to find out whether an input moves the answers.
_TRIED = 64


class Attributed(NamedTuple):
    """What was attributed to n rows.

    Attributes:
        values: By task and input, `(n, ...)`; `(n, T)` where words are read, T of them.
        words: By input that is read word by word, what the T words are, "" as padding.
        gaps: By task, `(n,)`: the sum of a row's attributions minus what the target is more than at
            the baseline; 0 but for the error of the quadrature.
    """

    values: dict[str, dict[str, np.ndarray]]
    words: dict[str, np.ndarray]
    gaps: dict[str, np.ndarray]


def integrated_gradients(
    model: Any,
    inputs: Mapping[str, np.ndarray],
    seeds: Mapping[str, np.ndarray],
    baseline: Mapping[str, Any],
    steps: int | None,
    batch_size: int,
) -> Attributed:
    """`(x - x') integral_0^1 dF(x' + a (x - x')) / dx da`, by Gauss-Legendre quadrature.

    Args:
        model: The model.
        inputs: Rows `(n, ...)` by input name.
        seeds: By task, what F is: the sum of its outputs times this.
        baseline: x' by input name, where it is told.
        steps: How many places on the way; None for as many as it takes, see `integrate`.
        batch_size: Rows at once.

    Raises:
        ValueError: If an input moves the answers, and neither is a number nor embedded.
    """
    n = len(next(iter(inputs.values())))
    reader = EmbeddingReader(model, inputs)
    embedded = embedded_in(reader, inputs)
    numbers = [k for k, v in inputs.items() if v.dtype.kind == "f" and k not in embedded.inputs]
    _check_seen(model, inputs, seeds, {*numbers, *embedded.inputs})
    batches = [slice(i, min(i + batch_size, n)) for i in range(0, n, batch_size)]
    starts = Starts(model, reader, embedded, inputs, baseline, batches)
    parts: list[Attributed] = []
    gradients: PathGradients | None = None
    for rows in batches:
        here = {name: values[rows] for name, values in inputs.items()}
        calls = reader.calls(here)
        way = Way(
            {k: v for k, v in here.items() if k not in numbers},
            {k: (starts.numbers(k, rows), here[k]) for k in numbers},
            {
                i: (starts.vectors(i, calls, here, rows), call.vectors)
                for i, call in enumerate(calls)
                if embedded.owners[i]
            },
        )
        aims = {task: seed[rows] for task, seed in seeds.items()}
        gradients = gradients or PathGradients(model, way, aims)
        found, changes = integrate(gradients.on(way, aims), way, steps)
        values = {t: _values(found[t], way, here, calls, embedded) for t in seeds}
        gaps = {
            t: sum(v.reshape(len(v), -1).sum(axis=1) for v in values[t].values()) - changes[t]
            for t in seeds
        }
        words = {
            k: _words(model, k, here[k], values, calls, embedded) for k in sorted(embedded.texts)
        }
        parts.append(Attributed(values, words, gaps))
    return _joined(parts, embedded.texts)


def _values(
    told: Sequence[np.ndarray],
    way: Way,
    here: Mapping[str, np.ndarray],
    calls: Sequence[EmbeddingCall],
    embedded: Embedded,
) -> dict[str, np.ndarray]:
    """What each element of a batch adds to a task's target, by input."""
    values = dict(zip(way.numbers, told, strict=False))
    for i, of_call in zip(way.vectors, told[len(way.numbers) :], strict=True):
        by_id = of_call.sum(axis=-1)
        for k, mask in embedded.owners[i].items():
            if k in embedded.texts:
                more = _by_position(by_id, here[k], calls[i], k not in embedded.pieces)
            else:
                more = by_id if mask is None else by_id[:, mask].sum(axis=1)
            values[k] = _added(values[k], more, k) if k in values else more
    # What no gradient goes to does not move the answers.
    return {k: values[k] if k in values else np.zeros(v.shape) for k, v in here.items()}


def _by_position(
    told: np.ndarray, values: np.ndarray, call: EmbeddingCall, whole: bool
) -> np.ndarray:
    """Attributions of a call `(B, T, ...)`, or with both folded, by place: `(B, T)`.

    Args:
        told: Of each id.
        values: The input `(B,)` or `(B, T)`.
        call: The call.
        whole: Whether places are those of the input.
    """
    rows = len(values)
    whole = whole and values.ndim > 1
    if whole and (told.shape[:2] == values.shape or len(told) == values.size):
        return told.reshape(*values.shape, -1).sum(axis=-1)
    if whole or len(told) != rows:
        raise ValueError(
            f"The layer {call.layer.name!r} embeds {told.shape} ids where the rows are of shape "
            f"{values.shape}, which cannot be told apart; use method='permutation'."
        )
    return told.reshape(rows, told.shape[1], -1).sum(axis=-1)


def _added(so_far: np.ndarray, more: np.ndarray, name: str) -> np.ndarray:
    if so_far.shape != more.shape:
        raise ValueError(
            f"Input {name!r} is embedded once as {so_far.shape} words and once as {more.shape}; use "
            "method='permutation'."
        )
    return so_far + more


def _words(
    model: Any, name: str, here: np.ndarray, values: Any, calls: Any, embedded: Embedded
) -> np.ndarray:
    """The words that attributions of a text stand for, `(B, T)`, "" as padding."""
    shape = next(iter(values.values()))[name].shape
    if here.shape == shape and name not in embedded.pieces:
        return here.astype(str).astype(object)
    call = next(c for c, o in zip(calls, embedded.owners, strict=True) if name in o)
    ids = call.ids.reshape(shape)
    known = _vocabulary(model, call.layer.input_dim)
    if known is None:
        return ids.astype(str).astype(object)
    return np.array([[known(int(i)) for i in row] for row in ids], dtype=object)


def _vocabulary(model: Any, size: int) -> Any:
    """A function from ids to words, of the layer that cuts texts for an embedding of this size."""
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.TextVectorization) and layer.vocabulary_size() <= size:
            words = layer.get_vocabulary()
            return lambda i, words=words: words[i]
        # Tokenizers of KerasHub, which is an extra.
        told = getattr(layer, "id_to_token", None)
        if callable(told) and layer.vocabulary_size() <= size:
            return told
    return None


def _check_seen(
    model: Any, inputs: Mapping[str, np.ndarray], seeds: Mapping[str, np.ndarray], seen: set[str]
) -> None:
    """Refuses an input that moves the answers on a way that no gradient goes."""
    few = {name: values[:_TRIED] for name, values in inputs.items()}
    usual = model.predict_on_batch(few)
    for name in few:
        if name in seen:
            continue
        other = model.predict_on_batch({**few, name: np.roll(few[name], 1, axis=0)})
        if any(not np.allclose(usual[t], other[t], rtol=1e-4, atol=1e-6) for t in seeds):
            raise ValueError(
                f"Input {name!r} ({few[name].dtype}) is neither floats nor read by an Embedding "
                "layer, so that it has no gradient; use method='permutation'."
            )


def _joined(parts: Sequence[Attributed], texts: set[str]) -> Attributed:
    """Batches one after the other, words padded to the longest row of all."""
    if len(parts) == 1:
        return parts[0]
    for k in texts:
        longest = max(part.words[k].shape[1] for part in parts)
        for part in parts:
            short = ((0, 0), (0, longest - part.words[k].shape[1]))
            part.words[k] = np.pad(part.words[k], short, constant_values="")
            for values in part.values.values():
                values[k] = np.pad(values[k], short)
    first = parts[0]
    return Attributed(
        {
            t: {k: np.concatenate([p.values[t][k] for p in parts]) for k in v}
            for t, v in first.values.items()
        },
        {k: np.concatenate([p.words[k] for p in parts]) for k in first.words},
        {t: np.concatenate([p.gaps[t] for p in parts]) for t in first.gaps},
    )
