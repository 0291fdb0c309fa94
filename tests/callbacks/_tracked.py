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
    """The model, its history after epochs of two batches, and the balancer's mean weights in each."""
    model, (x, y), steps = model_of_two(), rows(), []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(np.array(model.balancer.last_weights))
    )
    history = model.fit(
        x, y, validation_data=(x, y), batch_size=8, epochs=epochs, verbose=0,
        callbacks=[*callbacks, watch],
    ).history  # fmt: skip
    return model, history, np.mean(np.reshape(steps, (epochs, 2, 2)), axis=1).tolist()


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
    for i, task in enumerate(("val_price", "kind")):
        found[f"{task}/balancer_weight"] = [pair[i] for pair in weights]
    return found
