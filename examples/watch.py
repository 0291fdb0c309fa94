"""Watching a run: its folder, TensorBoard's curves, and the report that people look at.

Run: python examples/watch.py; then open what it names. No download.
"""

import argparse
import pathlib

import keras

import keras_mtl
from keras_mtl import callbacks, encoders, evaluation, tasks

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--rows", type=int, default=4000, help="canvases to train on")
parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("runs/watch"))
options = parser.parse_args()

keras.utils.set_random_seed(0)
train, valid, test = keras_mtl.datasets.multi_digits(train=options.rows, valid=500, test=1000)
model = keras_mtl.build_model(
    encoder=encoders.Image(shape=(12, 12, 1), filters=(16, 32), units=128, dropout=0.3),
    tasks=[tasks.MultiClass("left", classes=10), tasks.MultiClass("right", classes=10)],
)
model.compile("adam", balancer="cagrad")
run = callbacks.RunFolder(
    options.folder, seed=0, data={"train": train, "valid": valid}, resume=False
)
logs = options.folder / "logs"
model.fit(
    train.dataset(batch_size=64, shuffle=True, seed=0),
    validation_data=valid.dataset(256),
    epochs=options.epochs,
    verbose=2,
    callbacks=[callbacks.TensorBoard(logs), run],
)
cosines = evaluation.gradient_cosines(model, valid, batch_size=256)
page = keras_mtl.report(options.folder, test, model=model, affinity=cosines)

print(keras_mtl.evaluate(model, test))
print(f"Run folder: {options.folder}")
print(f"Curves:     tensorboard --logdir {logs}")
print(f"Report:     open {page} in a browser; the same as {page.with_suffix('.md').name} and .json")
