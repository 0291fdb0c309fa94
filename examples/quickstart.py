"""Two handwritten digits on one canvas, read by one model: thirty lines, no download.

Run: python examples/quickstart.py
"""

import keras

import keras_mtl
from keras_mtl import encoders, tasks

keras.utils.set_random_seed(0)
train, valid, test = keras_mtl.datasets.multi_digits()

model = keras_mtl.build_model(
    encoder=encoders.Image(shape=(12, 12, 1), filters=(16, 32), units=128, dropout=0.3),
    tasks=[tasks.MultiClass("left", classes=10), tasks.MultiClass("right", classes=10)],
)
model.compile("adam", loss_weights={"left": 1.0, "right": 1.0}, balancer="uncertainty")
model.fit(
    train.dataset(batch_size=64, shuffle=True, seed=0),
    validation_data=valid.dataset(256),
    epochs=8,
    verbose=2,
    callbacks=[keras_mtl.callbacks.TensorBoard("logs/quickstart")],
)

print(keras_mtl.evaluate(model, test))
print("SavedModel:", keras_mtl.export.saved_model(model, "saved_models/quickstart"))
