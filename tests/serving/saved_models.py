"""SavedModels that are tiny, or that do one thing that a test needs, written by TensorFlow alone."""

import pathlib
import shutil
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, export, tasks

WORDS = ["play", "some", "miles", "davis"]
GENRES = ["folk", "jazz", "rock"]
TAGS = ["O", "B-artist", "I-artist"]
SONGS = np.array([["play", "some", "miles"], ["miles", "davis", "now"]])


def song_model() -> Any:
    """Words in; a class of the whole and a tag a word out."""
    keras.utils.set_random_seed(3)
    words = encoders.Text(WORDS, "cnn", units=6, embedding=4)
    return keras_mtl.build_model(
        words, [tasks.MultiClass("genre", GENRES), tasks.SequenceTagging("slots", TAGS)]
    )


def predicted(model: Any, tokens: Any = SONGS) -> dict[str, np.ndarray]:
    answers = model.predict({"tokens": tf.constant(tokens)}, verbose=0)
    return {name: np.asarray(answer) for name, answer in answers.items()}


def write_version(folder: pathlib.Path, number: int, module: tf.Module) -> pathlib.Path:
    """A version that appears at once, as export.saved_model's do."""
    hidden = folder / f".{number}"
    default = module.answer.get_concrete_function()
    signatures = {"serving_default": default}
    if "plain" in dir(module):
        signatures["plain"] = module.plain.get_concrete_function()
    tf.saved_model.save(module, str(hidden), signatures=signatures)
    return hidden.rename(folder / str(number))


class Numbered(tf.Module):
    """Answers x + number, so that an answer tells which version gave it; `plain` takes no rows."""

    def __init__(self, number: float):
        super().__init__()
        self.number = tf.Variable(float(number))

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def answer(self, x):
        return {"y": x + self.number}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, name="n")])
    def plain(self, n):
        return {
            "twice": 2 * n,
            "text_bytes": tf.constant([b"\xff\x00"]),
            "text": tf.constant(["é"]),
        }


class Types(tf.Module):
    """Gives back what it takes, of many types."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float32, name="number"),
            tf.TensorSpec([None, 2], tf.int8, name="small"),
            tf.TensorSpec([None], tf.int64, name="large"),
            tf.TensorSpec([None], tf.bool, name="flag"),
            tf.TensorSpec([None], tf.string, name="text"),
        ]
    )
    def answer(self, number, small, large, flag, text):
        return {
            "number": tf.identity(number),
            "small": tf.identity(small),
            "large": tf.identity(large),
            "flag": tf.identity(flag),
            "text": tf.identity(text),
        }


class Refusing(tf.Module):
    """Divides 12 by each row; the graph itself refuses what is not positive."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="x")])
    def answer(self, x):
        with tf.control_dependencies([tf.debugging.assert_positive(x, "rows must be positive")]):
            return {"y": 12 // tf.identity(x)}


class Slow(tf.Module):
    """Counts to the number of the first row, one step after the other."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="steps")])
    def answer(self, steps):
        counted = tf.while_loop(lambda i: i < steps[0], lambda i: [i + 1], [tf.constant(0)])[0]
        return {"counted": tf.fill(tf.shape(steps), counted)}


class Words(tf.Module):
    """Splits texts inside, and pads the shorter ones: rows depend on each other."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def answer(self, text):
        return {"words": tf.strings.split(text).to_tensor("")}


def damage(version: pathlib.Path) -> None:
    """Cuts a version's variables off, as a full disk does."""
    for file in (version / "variables").iterdir():
        file.write_bytes(file.read_bytes()[:10])


def copy(version: pathlib.Path, folder: pathlib.Path, number: int) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(version, folder / str(number)))


def exported(folder: pathlib.Path, **kwargs: Any) -> Any:
    """The song model and its version folder."""
    model = song_model()
    return model, export.saved_model(model, folder, **kwargs)
