"""Training steps to be timed and weighed: two networks with K heads, their batches, epochs, memory.

A step is timed within an epoch that is one call of the compiled loop that `fit` calls too, so that
nothing of `fit` itself is counted. Its memory is what XLA, which compiles it, sets aside for it.
"""

import contextlib
import math
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_mtl

BATCH, CLASSES, RATE = 64, 10, 1e-4
SHAPES = {"mlp": (64,), "cnn": (28, 28, 1)}
WIDTH, DEPTH = 512, 3


def classifies(family: str, task: int) -> bool:
    """Whether a head tells classes apart: all of the CNN do, and every second one of the MLP."""
    return family == "cnn" or task % 2 == 1


def network(cls: type[keras.Model], family: str, k: int) -> tuple[keras.Model, dict[str, str]]:
    """A network with K heads, the same at every call, and their losses."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    inputs = keras.Input(SHAPES[family], name="x")
    if family == "mlp":
        trunk = [layers.Dense(WIDTH, activation="relu") for _ in range(DEPTH)]
    else:
        trunk = [
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
        ]
    hidden = inputs
    for layer in trunk:
        hidden = layer(hidden)
    outputs, losses = {}, {}
    for i in range(k):
        name = f"t{i}"
        if classifies(family, i):
            outputs[name] = layers.Dense(CLASSES, activation="softmax", name=name)(hidden)
            losses[name] = "sparse_categorical_crossentropy"
        else:
            outputs[name] = layers.Dense(1, name=name)(hidden)
            losses[name] = "mse"
    return cls(inputs, outputs), losses


def rows(family: str, k: int, steps: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """`steps` batches of noise, `(steps, BATCH, ...)`: tasks that agree on nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(steps, BATCH, *SHAPES[family])).astype("float32")
    labels = {
        f"t{i}": rng.integers(0, CLASSES, (steps, BATCH))
        if classifies(family, i)
        else rng.normal(size=(steps, BATCH, 1)).astype("float32")
        for i in range(k)
    }
    return x, labels


class Run:
    """A model in training, compiled with XLA.

    Args:
        family: "mlp" or "cnn".
        k: Tasks.
        steps: Steps in an epoch.
        balancer: What balances it; without one it is stock Keras.
        clock: What times it.
    """

    def __init__(
        self,
        family: str,
        k: int,
        steps: int,
        balancer: Any = None,
        clock: Callable[[], float] = time.perf_counter,
    ):
        cls = keras.Model if balancer is None else keras_mtl.MultiTaskModel
        self.model, losses = network(cls, family, k)
        # So slow that the losses, and what the solvers are given, stay what they are at the start.
        options = {"optimizer": keras.optimizers.Adam(RATE), "loss": losses, "jit_compile": True}
        if balancer is not None:
            options["balancer"] = balancer
        self.model.compile(**options, steps_per_execution=steps)
        self.model.make_train_function()
        batches = tf.data.Dataset.from_tensor_slices(rows(family, k, steps))
        self.batches = iter(batches.repeat())
        self.balancer, self.steps, self.clock = balancer, steps, clock

    def epoch(self) -> float:
        """Trains for an epoch; the milliseconds of a step."""
        begun = self.clock()
        self.model.train_function(self.batches)
        spent = self.clock() - begun
        if self.balancer is not None:
            self.balancer.on_epoch_end()
        return 1000 * spent / self.steps

    def warm(self) -> "Run":
        """Compiles it, and trains until nothing is done for the first time."""
        for _ in range(2):
            self.epoch()
        return self


def step_memory(family: str, k: int, method: str | None, gradients: str = "parameters") -> float:
    """Megabytes that the compiled step sets aside beside the variables: activations and gradients.

    It is XLA's own account, of a step that is compiled in a process of its own. The process's memory
    would not tell, since compiling takes more than any step and TensorFlow gives none of it back.

    Args:
        method: A balancer's name; None for stock Keras.
        gradients: What is balanced: "parameters" or "features".
    """
    with tempfile.TemporaryDirectory() as folder, _environment(XLA_FLAGS=_dump_to(folder)):
        compiling = multiprocessing.get_context("spawn").Process(
            target=_compile_once, args=(family, k, method, gradients)
        )
        compiling.start()
        compiling.join()
        reports = [path.read_text() for path in Path(folder).glob("*step*buffer-assignment.txt")]
    # Parameters and constants of the program are the variables and the batch.
    own = re.compile(r"^allocation \d+: size (\d+),(?! parameter| constant)", re.MULTILINE)
    sizes = [sum(map(int, own.findall(report))) for report in reports]
    return max(sizes) / 2**20 if sizes else math.nan


def say(*parts: Any) -> None:
    """Prints at once, also into a file."""
    print(*parts)
    sys.stdout.flush()


def _dump_to(folder: str) -> str:
    return f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={folder} --xla_dump_hlo_as_text"


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _compile_once(family: str, k: int, method: str | None, gradients: str) -> None:
    balancer = keras_mtl.balancing.get(method)
    if gradients != "parameters":
        balancer = type(balancer)(gradients=gradients)
    Run(family, k, 1, balancer).epoch()
