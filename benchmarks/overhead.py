"""What a step of `MultiTaskModel` costs over a step of stock Keras.

The two train the same network on the same batches, in turn, epoch by epoch in one process, so that
a machine whose speed drifts cannot favour one of them. Printed are the medians of the ratio of
neighbouring epochs.

Run: python benchmarks/overhead.py
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_mtl

STEPS, BATCH = 120, 64


def build(cls, k: int, jit: bool) -> keras.Model:
    """A multi-layer perceptron with K heads, half of them regressions, half classifications."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,), name="x")
    hidden = inputs
    for _ in range(3):
        hidden = keras.layers.Dense(512, activation="relu")(hidden)
    outputs, losses, metrics = {}, {}, {}
    for i in range(k):
        name = f"t{i}"
        if i % 2:
            outputs[name] = keras.layers.Dense(10, activation="softmax", name=name)(hidden)
            losses[name], metrics[name] = "sparse_categorical_crossentropy", ["accuracy"]
        else:
            outputs[name] = keras.layers.Dense(1, name=name)(hidden)
            losses[name], metrics[name] = "mse", ["mae"]
    model = cls(inputs, outputs)
    model.compile(
        "adam",
        loss=losses,
        metrics=metrics,
        loss_weights=dict.fromkeys(outputs, 1.0 / k),
        jit_compile=jit,
    )
    return model


def batches(k: int) -> tf.data.Dataset:
    """The same batches for both, held in memory."""
    rng = np.random.default_rng(0)
    n = STEPS * BATCH
    labels = {
        f"t{i}": rng.integers(0, 10, n) if i % 2 else rng.normal(size=(n, 1)).astype("float32")
        for i in range(k)
    }
    x = rng.normal(size=(n, 64)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, labels)).batch(BATCH).cache().prefetch(2)


def epoch(model: keras.Model, data: tf.data.Dataset) -> float:
    begun = time.perf_counter()
    model.fit(data, epochs=1, verbose=0, shuffle=False)
    return (time.perf_counter() - begun) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 4, 8])
    arguments = parser.parse_args()
    print(
        f"{'tasks':>5}  {'jit':5}  {'stock ms':>8}  {'ours ms':>8}  {'ratio':>6}  {'quartiles':>13}"
    )
    for jit in (False, True):
        for k in arguments.tasks:
            data = batches(k)
            stock, ours = build(keras.Model, k, jit), build(keras_mtl.MultiTaskModel, k, jit)
            for model in (stock, ours):
                epoch(model, data)
            pairs = []
            for i in range(arguments.epochs):
                # Who goes first changes, so that neither always runs on the warmer cache.
                order = (stock, ours) if i % 2 else (ours, stock)
                spent = {id(model): epoch(model, data) for model in order}
                pairs.append((spent[id(stock)], spent[id(ours)]))
            ratios = [b / a for a, b in pairs]
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(
                f"{k:5}  {jit!s:5}  {1000 * statistics.median(a for a, _ in pairs):8.2f}  "
                f"{1000 * statistics.median(b for _, b in pairs):8.2f}  {middle:6.3f}  "
                f"{low:.3f} - {high:.3f}",
                flush=True,
            )
            keras.utils.clear_session()


if __name__ == "__main__":
    main()
