"""A small model of two tasks that has learnt to read digits, which every format is tried on."""

import functools
from typing import Any

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks

TASKS = ["left", "right"]


@functools.cache
def digits() -> tuple[keras_mtl.MultiTaskModel, keras_mtl.data.Examples, keras_mtl.data.Examples]:
    """The model, rows that it was trained on, and rows that it was not."""
    keras.utils.set_random_seed(1)
    train, _, test = keras_mtl.datasets.multi_digits(train=1500, valid=1, test=400, shift=8)
    model = keras_mtl.build_model(
        encoders.Image((16, 16, 1), filters=(8,), units=32),
        [tasks.MultiClass(name, 10) for name in TASKS],
    )
    model.compile(keras.optimizers.Adam(0.003))
    model.fit(train.dataset(20, shuffle=True, seed=0), epochs=6, verbose=0)
    return model, train, test


def own_names() -> keras_mtl.MultiTaskModel:
    """A model of one's own: names that Python does not take, an output that is a whole number."""
    keras.utils.set_random_seed(4)
    inputs = {
        "hours-per-week": keras.Input((2,), name="hours-per-week"),
        "class": keras.Input((1,), name="class"),
    }
    both = keras.layers.Concatenate()([inputs["class"], inputs["hours-per-week"]])
    number = keras.layers.Dense(2, name="first")(both)
    return keras_mtl.MultiTaskModel(
        inputs,
        {
            "variables": number,
            "a.b": keras.layers.Dense(1, name="second")(inputs["hours-per-week"]),
            "first": keras.ops.cast(number[:, 0] > number[:, 1], "int32"),
        },
    )


PEOPLE = {
    "hours-per-week": np.array([[1.0, 2.0], [3.0, 40.0], [5.0, 0.0]], "float32"),
    "class": np.array([[1.0], [-2.0], [0.5]], "float32"),
}


def sequences(layer: Any, shape: tuple[int | None, ...] = (None, 3)) -> keras_mtl.MultiTaskModel:
    """Two tasks on what a layer makes of sequences of numbers."""
    keras.utils.set_random_seed(5)
    given = keras.Input(shape, name="signal")
    features = layer(given)
    return keras_mtl.MultiTaskModel(
        given,
        {
            "kind": keras.layers.Dense(3, activation="softmax", name="kind")(features),
            "level": keras.layers.Dense(1, name="level")(features),
        },
    )


def song_model() -> keras_mtl.MultiTaskModel:
    """Words in, a class and tags out."""
    keras.utils.set_random_seed(3)
    return keras_mtl.build_model(
        encoders.Text(["play", "some", "miles", "davis"], "cnn", units=6, embedding=4),
        [tasks.MultiClass("genre", ["folk", "jazz"]), tasks.SequenceTagging("slots", ["O", "B-x"])],
    )


def differences(expected: dict[str, Any], answers: dict[str, Any]) -> dict[str, float]:
    """The largest difference of each output of the same name and shape."""
    assert set(expected) == set(answers)
    assert all(np.shape(answers[name]) == np.shape(expected[name]) for name in expected)
    return {name: float(np.abs(answers[name] - expected[name]).max()) for name in expected}


class Hidden:
    """A finder of modules that says of some that they are not installed."""

    def __init__(self, *names: str):
        self.names = names

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] in self.names:
            raise ImportError(f"No module named {name!r}")
