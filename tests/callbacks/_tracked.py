"""A model of two tasks that trackers follow, and how it is fitted."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks


def rows(n=16):
    x = np.random.default_rng(0).normal(size=(n, 3)).astype("float32")
    return x, {"val_price": x[:, 1:2] * 3, "kind": (x[:, 0] > 0).astype("int32")}


def model_of_two():
    """Two tasks, one of whose names looks like a validation key."""
    keras.utils.set_random_seed(0)
    model = keras_mtl.build_model(
        encoders.Dense(features=3, units=[5]),
        [tasks.Regression("val_price"), tasks.MultiClass("kind", 2)],
    )
    halving = keras.optimizers.schedules.ExponentialDecay(8.0, 2, 0.5)
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.1)
    model.compile(
        keras.optimizers.SGD(rate), loss_weights={"val_price": halving}, balancer="rlw",
        run_eagerly=True,
    )  # fmt: skip
    return model


def fitted(callbacks, epochs=2):
    """The model and its history after epochs of two batches, and the balancer's weights of each."""
    model, (x, y), weights = model_of_two(), rows(), []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: weights.append(
            keras.ops.convert_to_numpy(model.balancer.last_weights).tolist()
        )
    )
    history = model.fit(
        x, y, validation_data=(x, y), batch_size=8, epochs=epochs, verbose=0,
        callbacks=[*callbacks, watch],
    ).history  # fmt: skip
    return model, history, weights


def expected(history, weights):
    """What a tracker is to hold, `{key: [value an epoch]}`."""
    found = {"loss": history["loss"], "val/loss": history["val_loss"]}
    for task, metrics in {
        "val_price": ("loss", "rmse", "mae"),
        "kind": ("loss", "accuracy"),
    }.items():
        for metric in metrics:
            found[f"{task}/{metric}"] = history[f"{task}_{metric}"]
            found[f"val/{task}/{metric}"] = history[f"val_{task}_{metric}"]
    found["val_price/loss_weight"] = [4.0, 2.0]
    found["kind/loss_weight"] = [1.0, 1.0]
    found["learning_rate"] = [0.01, 0.001]
    found["val_price/balancer_weight"] = [pair[0] for pair in weights]
    found["kind/balancer_weight"] = [pair[1] for pair in weights]
    return found
