"""One data set a task: batches of all of them, in one form and by a stated law."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from keras_mtl.data.examples import Examples
from keras_mtl.data.pipeline import one_order_a_pass

_LAWS = ("proportional", "uniform", "temperature", "annealed", "longest", "shortest")


def mix(
    sources: Mapping[str, Any],
    sampling: str = "proportional",
    *,
    batch_size: int = 32,
    temperature: float = 2.0,
    steps_per_epoch: int | None = None,
    epochs: int = 1,
    seed: int | None = None,
) -> tf.data.Dataset:
    """Batches from several data sets, one after the other, each batch of one of them.

    Every batch has the labels of all tasks; those that its data set does not have are missing
    (-1 or NaN), so the tasks that they belong to take no part in that step.

    The laws, with n_k batches in data set k, of K:

    - "proportional": every batch of every data set once.
    - "uniform": as many batches of each.
    - "temperature": p_k ~ n_k^(1/T) (Arivazhagan et al., "Massively Multilingual Neural Machine
      Translation in the Wild", 2019, arXiv:1907.05019; Raffel et al., JMLR 2020); T = 1 is
      proportional, a large T uniform.
    - "annealed": p_k ~ n_k^(1 - 0.8 (e - 1) / (E - 1)) in epoch e of E, from proportional towards
      uniform (Stickland and Murray, "BERT and PALs", ICML 2019, arXiv:1902.02671).
    - "longest": as many of each as the largest has; the others begin again.
    - "shortest": as many of each as the smallest has.

    Shares are exact in each epoch, up to one batch; their order is drawn anew each epoch.

    Args:
        sources: By any name (usually the task's), `Examples`, or batched data sets of
            `(inputs, labels[, weights])` of known length; the inputs must be the same.
        sampling: The law.
        batch_size: Rows a batch of `Examples`; data sets come batched.
        temperature: T.
        steps_per_epoch: Batches an epoch; by default the sum of all n_k, or K times the largest or
            smallest of them.
        epochs: E, for "annealed" alone: the data set then holds E epochs, for
            `fit(..., steps_per_epoch=...)`.
        seed: Makes the draws repeatable.

    Raises:
        ValueError: If the law is unknown, a source has no known length, or inputs differ.
    """
    if sampling not in _LAWS:
        raise ValueError(f"`sampling` is {sampling!r}; expected one of {list(_LAWS)}.")
    if len(sources) < 2 or temperature <= 0 or epochs < 1:
        raise ValueError(
            f"mix came with {len(sources)} data sets, temperature={temperature}, epochs={epochs}; "
            "expected two or more, a positive temperature and at least one epoch."
        )
    batched = {
        name: source.dataset(batch_size, shuffle=True, seed=None if seed is None else seed + i)
        if isinstance(source, Examples)
        else source
        for i, (name, source) in enumerate(sources.items())
    }
    sizes = np.array([_length(name, ds) for name, ds in batched.items()])
    completed = [
        ds.map(fill).repeat() for ds, fill in zip(batched.values(), _fillers(batched), strict=True)
    ]
    steps = steps_per_epoch or _steps(sampling, sizes)
    choices = []
    for epoch in range(epochs if sampling == "annealed" else 1):
        counts = _counts(_shares(sampling, sizes, temperature, epoch, epochs), steps)
        order = tf.data.Dataset.from_tensor_slices(np.repeat(np.arange(len(sizes)), counts))
        choices.append(order.shuffle(steps, seed=seed))
    order = choices[0]
    for more in choices[1:]:
        order = order.concatenate(more)
    mixed = tf.data.Dataset.choose_from_datasets(completed, order, stop_on_empty_dataset=False)
    total = steps * len(choices)
    mixed = mixed.apply(tf.data.experimental.assert_cardinality(total))
    return one_order_a_pass(mixed).prefetch(tf.data.AUTOTUNE)


def _length(name: str, dataset: tf.data.Dataset) -> int:
    size = int(dataset.cardinality())
    if size < 1:
        raise ValueError(
            f"Data set {name!r} does not tell how many batches it has; give Examples, or use "
            "tf.data.experimental.assert_cardinality."
        )
    return size


def _steps(sampling: str, sizes: np.ndarray) -> int:
    if sampling == "longest":
        return int(sizes.max() * len(sizes))
    if sampling == "shortest":
        return int(sizes.min() * len(sizes))
    return int(sizes.sum())


def _shares(
    sampling: str, sizes: np.ndarray, temperature: float, epoch: int, epochs: int
) -> np.ndarray:
    power = 0.0
    if sampling == "proportional":
        power = 1.0
    elif sampling == "temperature":
        power = 1.0 / temperature
    elif sampling == "annealed":
        power = 1.0 - 0.8 * epoch / max(epochs - 1, 1)
    shares = sizes.astype("float64") ** power
    return shares / shares.sum()


def _counts(shares: np.ndarray, steps: int) -> np.ndarray:
    """Whole numbers that sum to `steps`, by largest remainder."""
    exact = shares * steps
    counts = np.floor(exact).astype(int)
    for k in np.argsort(counts - exact, kind="stable")[: steps - counts.sum()]:
        counts[k] += 1
    return counts


def _fillers(batched: Mapping[str, tf.data.Dataset]) -> list[Callable[..., Any]]:
    """For each data set, a function that completes its batches to the common form."""
    specs = {name: ds.element_spec for name, ds in batched.items()}
    first = next(iter(specs))
    labels: dict[str, tf.TensorSpec] = {}
    weighted = any(len(spec) > 2 for spec in specs.values())
    for name, spec in specs.items():
        if set(spec[0]) != set(specs[first][0]):
            raise ValueError(
                f"Data set {name!r} has the inputs {sorted(spec[0])}, but {first!r} has "
                f"{sorted(specs[first][0])}; all must have the same inputs."
            )
        for task, told in spec[1].items():
            if task in labels and labels[task].dtype != told.dtype:
                raise ValueError(
                    f"Labels of task {task!r} are {told.dtype.name} in data set {name!r} and "
                    f"{labels[task].dtype.name} in another; make them the same."
                )
            labels.setdefault(task, told)

    def filler(name: str) -> Callable[..., Any]:
        def fill(inputs: Any, given: Any, weights: Any = None) -> Any:
            complete = {
                task: given[task] if task in given else _missing(told, inputs)
                for task, told in labels.items()
            }
            if not weighted:
                return inputs, complete
            rows = tf.shape(next(iter(inputs.values())))[:1]
            weights = weights or {}
            ones = tf.ones(rows)
            return inputs, complete, {task: weights.get(task, ones) for task in labels}

        return fill

    return [filler(name) for name in specs]


def _missing(told: tf.TensorSpec, inputs: Mapping[str, Any]) -> Any:
    """Missing labels for one batch: as many rows, and positions, as the inputs have."""
    rows = tf.shape(next(iter(inputs.values())))[0]
    shape = [rows]
    for size in told.shape[1:]:
        if size is None:
            longest = [t for t in inputs.values() if t.shape.rank and t.shape.rank > 1]
            shape.append(tf.shape(longest[0])[1] if longest else 1)
        else:
            shape.append(size)
    value = float("nan") if told.dtype.is_floating else -1
    return tf.fill(shape, tf.constant(value, told.dtype))
