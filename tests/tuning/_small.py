"""A model of two tasks that trains in a moment, and its rows."""

import keras
import numpy as np

from keras_mtl import build_model, encoders, tasks, tuning
from keras_mtl.data import Examples

SPACE = {
    "units": tuning.Int(2, 16, log=True),
    "rate": tuning.Float(1e-3, 1e-1, log=True),
    "balancer": tuning.Choice([None, "uncertainty"]),
    "weights": tuning.Simplex(["total", "sign"]),
}


def rows(n=64, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype("float32")
    return Examples({"x": x}, {"total": x.sum(axis=1), "sign": (x[:, 0] > x[:, 1]).astype(int)})


def build(parameters):
    """A regression, less of whose error is better, and a binary task, more of whose AUC is."""
    model = build_model(
        encoders.Dense(3, units=[parameters.get("units", 4)], input_name="x"),
        [tasks.Regression("total"), tasks.Binary("sign")],
    )
    model.compile(
        keras.optimizers.SGD(parameters.get("rate", 0.01)),
        loss_weights=parameters.get("weights"),
        balancer=parameters.get("balancer"),
        run_eagerly=True,  # a trace of each model would take longer than its few steps
    )
    return model
