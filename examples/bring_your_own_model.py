"""A functional Keras model of your own: one changed word, and everything else is stock Keras.

Some labels are missing, one loss weight follows a schedule, the shared layers learn more slowly
than the heads, and class weights name a class of one task: nothing of it works in `keras.Model`.

Run: python examples/bring_your_own_model.py
"""

import keras
import numpy as np

import keras_mtl

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
x = rng.normal(size=(2000, 8)).astype("float32")
price = (100 + 20 * x[:, 0] + 10 * x[:, 1] * x[:, 2]).astype("float32")
sold = (x[:, 0] + 0.5 * rng.normal(size=2000) > 0.8).astype("int32")
price[rng.random(2000) < 0.4] = np.nan  # a price that nobody wrote down
sold[rng.random(2000) < 0.2] = -1  # nobody knows yet

inputs = keras.Input((8,), name="house")
hidden = keras.layers.Dense(64, activation="relu")(inputs)
hidden = keras.layers.Dense(64, activation="relu")(hidden)
outputs = {
    "price": keras.layers.Dense(1)(hidden),
    "sold": keras.layers.Dense(1, activation="sigmoid")(hidden),
}

model = keras_mtl.MultiTaskModel(inputs, outputs)  # was keras.Model(inputs, outputs)
model.compile(
    keras.optimizers.Adam(3e-3),
    loss={"price": "mae", "sold": "binary_crossentropy"},
    loss_weights={"price": keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.9), "sold": 1.0},
    metrics={"price": "mae", "sold": ["accuracy", keras.metrics.AUC(name="auc")]},
    learning_rate_multipliers={"shared": 0.5},
)
model.fit(
    x[:1600],
    {"price": price[:1600], "sold": sold[:1600]},
    validation_data=(x[1600:], {"price": price[1600:], "sold": sold[1600:]}),
    class_weight={"sold": {0: 1.0, 1: 2.0}},
    batch_size=64,
    epochs=15,
    verbose=2,
)
print("Loss weights now:", {k: round(v, 4) for k, v in model.loss_weights.items()})
print(keras_mtl.evaluate(model, x[1600:], {"price": price[1600:], "sold": sold[1600:]}))
only_price = model.task_model("price")  # the other head is not computed
print("Three prices:", np.round(only_price.predict(x[:3], verbose=0)["price"][:, 0], 1))
