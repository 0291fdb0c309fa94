"""Where the ways of integrated gradients start: a row that says little."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl._input_gradients import EmbeddingCall, EmbeddingReader, input_tensors
from keras_mtl.evaluation._embedded import Embedded


class Starts:
    """The baseline of every row, as told or by default.

    By default it is the mean row for columns, of numbers as of the vectors of categories, and 0 for
    pictures, sequences and the vectors of words.

    Args:
        model: The model.
        reader: Of the model.
        embedded: Which inputs embeddings read.
        inputs: All rows by input name.
        baseline: By input name, what is told.
        batches: The rows of each batch.
    """

    def __init__(
        self,
        model: Any,
        reader: EmbeddingReader,
        embedded: Embedded,
        inputs: Mapping[str, np.ndarray],
        baseline: Mapping[str, Any],
        batches: Sequence[slice],
    ):
        self._sequences = {k for k, s in input_tensors(model).items() if s.shape[1:] == (None,)}
        self._reader = reader
        self._embedded = embedded
        self._inputs = inputs
        self._baseline = baseline
        self._means = self._mean_vectors(batches)

    def numbers(self, name: str, rows: slice) -> np.ndarray:
        """Of an input of numbers, `(B, ...)`; NaN where the row has NaN."""
        values = self._inputs[name]
        if name in self._baseline:
            start = np.broadcast_to(np.asarray(self._baseline[name], values.dtype), values.shape)
        elif values.ndim > 2 or name in self._sequences:
            start = np.zeros_like(values)
        else:
            known = np.isfinite(values)
            total = np.where(known, values, 0).sum(axis=0, dtype="float64")
            mean = total / np.maximum(known.sum(axis=0), 1)
            start = np.broadcast_to(mean.astype(values.dtype), values.shape)
        return np.where(np.isnan(values[rows]), values[rows], start[rows])

    def vectors(
        self, i: int, calls: Sequence[EmbeddingCall], here: Mapping[str, np.ndarray], rows: slice
    ) -> np.ndarray:
        """Of the i-th call of a batch, `(*ids.shape, d)`; padding stays as it is."""
        call = calls[i]
        start = call.vectors.astype("float32")
        for name, mask in self._embedded.owners[i].items():
            at = np.ones(call.ids.shape[1:], bool) if mask is None else mask
            text = here[name].dtype.kind in "OUS"
            if name in self._baseline:
                other = self._told(i, name, here, rows)
                if other.vectors.shape != call.vectors.shape:
                    raise ValueError(
                        f"`baseline` of input {name!r} is read as {other.ids.shape} words where the "
                        f"rows have {call.ids.shape}; expected as many, or no baseline, which is 0."
                    )
                start[:, at] = other.vectors[:, at]
            elif name in self._embedded.texts:
                padded = text or call.layer.mask_zero
                padding = call.ids == 0 if padded else np.zeros(call.ids.shape, bool)
                start = np.where(padding[..., None], start, np.float32(0))
            else:
                start[:, at] = self._means[i][at]
        return start

    def _told(self, i: int, name: str, here: Mapping[str, np.ndarray], rows: slice) -> Any:
        whole, values = self._inputs[name], here[name]
        text = values.dtype.kind in "OUS"
        told = np.asarray(self._baseline[name], object if text else values.dtype)
        other = np.broadcast_to(told, whole.shape)[rows]
        if text and values.ndim > 1:
            other = np.where(values == "", values, other)
        return self._reader.calls({**here, name: other})[i]

    def _mean_vectors(self, batches: Sequence[slice]) -> dict[int, np.ndarray]:
        """The mean vector over all rows of each call that reads columns without a baseline."""
        wanted = [
            i
            for i, owner in enumerate(self._embedded.owners)
            if any(k not in self._embedded.texts and k not in self._baseline for k in owner)
        ]
        if not wanted:
            return {}
        totals: dict[int, Any] = dict.fromkeys(wanted, 0.0)
        for rows in batches:
            calls = self._reader.calls({k: v[rows] for k, v in self._inputs.items()})
            for i in wanted:
                totals[i] = totals[i] + calls[i].vectors.astype("float64").sum(axis=0)
        return {i: total / batches[-1].stop for i, total in totals.items()}
