"""What the tests of few-shot methods share: features that tell classes apart if one half is left out."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks


def noisy_classes(rng, classes=12, rows=20):
    """Rows of 12 numbers: six tell the class, six are noise of five times the spread."""
    centres = rng.normal(size=(classes, 6))
    labels = np.repeat(np.arange(classes), rows)
    told = centres[labels] + 0.3 * rng.normal(size=(len(labels), 6))
    noise = 5 * rng.normal(size=(len(labels), 6))
    return np.concatenate([told, noise], axis=1).astype("float32"), labels


def untrained(seed=1):
    """A model of two tasks on 12 numbers, linear up to its features."""
    keras.utils.set_random_seed(seed)
    encoder = encoders.Dense(12, units=[16], activation="linear")
    return keras_mtl.build_model(encoder, [tasks.Binary("one"), tasks.Binary("other")])


def mnist(data_dir, rows=12_000):
    """Digits of 28 x 28 pixels from 0 to 1, and which they are: to train on, and to judge by."""
    from keras_mtl.datasets.multi_mnist import read_idx

    found = []
    for folder, kind in (("mnist", "train"), ("mnist10k", "t10k")):
        images = read_idx(data_dir / folder / f"{kind}-images-idx3-ubyte.gz")[:rows]
        labels = read_idx(data_dir / folder / f"{kind}-labels-idx1-ubyte.gz")[:rows]
        found.append(((images / 255.0).astype("float32")[..., None], labels.astype("int32")))
    return found
