"""Small models and rows that several tests of transfer use."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks

WORDS = ["a", "b", "c", "d", "e"]


def dense(*, dropout=0.0, seed=1):
    """Two tasks on three dense layers."""
    keras.utils.set_random_seed(seed)
    encoder = encoders.Dense(6, units=[8, 7, 5], activation="tanh", dropout=dropout)
    return keras_mtl.build_model(encoder, [tasks.Binary("sold"), tasks.Regression("price")])


def image(seed=1):
    """Two tasks on two convolutions, each with a normalisation, and a dense layer."""
    keras.utils.set_random_seed(seed)
    encoder = encoders.Image((6, 6, 1), filters=[3, 4], units=5)
    return keras_mtl.build_model(encoder, [tasks.Binary("sold"), tasks.Regression("price")])


def text(seed=1):
    """Two tasks on embeddings and two blocks of attention."""
    keras.utils.set_random_seed(seed)
    encoder = encoders.Text(WORDS, kind="transformer", units=8, embedding=6, dropout=0.0)
    return keras_mtl.build_model(encoder, [tasks.Binary("sold"), tasks.Regression("price")])


def rows(model, n=12):
    """Inputs and labels for one of them."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(n, 6)).astype("float32")
    labels = {"sold": (drawn[:, :1] > 0).astype("int32"), "price": 9 * drawn[:, :1] + 1}
    inputs = {
        "features": drawn,
        "image": rng.normal(size=(n, 6, 6, 1)).astype("float32"),
        "tokens": rng.choice(WORDS, size=(n, 4)),
    }
    return inputs[model.inputs[0].name], {name: labels[name] for name in model.task_names}


def values(model):
    """The weights of every layer by place, as they are now."""
    return {
        f"{place.path}/{v.name}": v.numpy()
        for place in keras_mtl._layers_by_name.places(model)
        if not place.layer._flatten_layers(include_self=False)
        for v in place.layer.weights
    }


def moved(before, after):
    """What is not the same in two of those."""
    return {name for name in before if not np.array_equal(before[name], after[name])}
