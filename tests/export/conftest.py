"""Two small exported models and their configuration, for the tests of what serves them."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, export, tasks


@pytest.fixture(scope="session")
def text_model():
    """A model of words, of which each has a tag."""
    keras.utils.set_random_seed(6)
    words = encoders.Text(["play", "jazz", "it's"], "cnn", units=4, embedding=3)
    return keras_mtl.build_model(
        words, [tasks.MultiClass("kind", ["a", "b"]), tasks.SequenceTagging("tags", ["O", "B-x"])]
    )


@pytest.fixture(scope="session")
def picture_model():
    """A model of two inputs, one of images."""
    keras.utils.set_random_seed(7)
    inputs = {
        "image": keras.Input((12, 12, 1), name="image"),
        "weight-kg": keras.Input((), name="weight-kg"),
    }
    flat = keras.layers.Flatten()(inputs["image"])
    weight = keras.layers.Reshape((1,))(inputs["weight-kg"])
    joined = keras.layers.Concatenate()([flat, weight])
    # A task may be named as a file of ours might be.
    return keras_mtl.MultiTaskModel(inputs, {"columns": keras.layers.Dense(2)(joined)})


@pytest.fixture(scope="session")
def served_models(text_model, picture_model, tmp_path_factory):
    """A folder of both, exported, the one with example rows."""
    pytest.importorskip("tensorflow_serving")
    folder = tmp_path_factory.mktemp("all models") / "saved"
    export.saved_model(
        text_model, folder / "songs", warm_up=np.array([["play", "it's"], ["jazz", ""]])
    )
    export.saved_model(picture_model, folder / "digits-2.0", pixels=(0, 1))
    (folder / "notes").mkdir()
    return folder


@pytest.fixture(scope="session")
def serving_folder(served_models):
    """What `serving_config` made of them."""
    return export.serving_config(served_models, served_models.parent / "serving")
