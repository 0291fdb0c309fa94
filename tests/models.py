"""Small models and rows that several tests use."""

import keras
import numpy as np

import keras_mtl

TASKS = ("z_price", "a_kind", "m_sold")  # an order that sorting would change


def rows(n: int = 96, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Inputs and labels of the three tasks of `functional`, learnable."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)).astype("float32")
    return x, {
        "z_price": (2 * x[:, :1] - x[:, 1:2]).astype("float32"),
        "a_kind": np.argmax(x[:, 2:5], axis=1).astype("int32"),
        "m_sold": (x[:, 5:] > 0).astype("float32"),
    }


def functional(cls=keras_mtl.MultiTaskModel, *, seed: int = 0, **kwargs):
    """A functional model of three outputs, of stock Keras or ours, with the same first weights."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(16, activation="relu", name="shared")(inputs)
    outputs = {
        "z_price": keras.layers.Dense(1, name="z_price")(hidden),
        "a_kind": keras.layers.Dense(3, activation="softmax", name="a_kind")(hidden),
        "m_sold": keras.layers.Dense(1, activation="sigmoid", name="m_sold")(hidden),
    }
    return cls(inputs, outputs, **kwargs)


LOSSES = {
    "z_price": "mse",
    "a_kind": "sparse_categorical_crossentropy",
    "m_sold": "binary_crossentropy",
}


def compiled(cls=keras_mtl.MultiTaskModel, *, seed: int = 0, optimizer="adam", **kwargs):
    """`functional`, compiled with `LOSSES`."""
    model = functional(cls, seed=seed)
    model.compile(optimizer, loss=dict(LOSSES), **kwargs)
    return model


def tables(model) -> dict[str, np.ndarray]:
    """Every trainable variable's value by path."""
    return {v.path: v.numpy() for v in model.trainable_variables}
