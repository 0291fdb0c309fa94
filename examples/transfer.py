"""A trunk that knows two tasks, and few labels of a third: what to train of it?

A network learns to read two overlapping handwritten digits from 6,000 canvases. From 200 labels it is
then to tell whether the left one is larger, beside reading both: on a trunk at random (from scratch),
on the trunk that was learnt and is frozen, trained all at once, thawed from the top down with rates that
fall towards the input (Howard and Ruder, ACL 2018), or given low-rank updates (Hu et al., ICLR 2022).
Printed are the accuracy at the new task, by how many points that of reading digits changed (mean of the
two), and how many weights were trained; means and standard errors over seeds.

Run: python examples/transfer.py --seeds 5
"""

import argparse
import logging
import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, tasks, transfer

DIGITS = ["left", "right"]
# Many small models are compiled on purpose.
logging.getLogger("tensorflow").setLevel("ERROR")
SCRATCH = "from scratch"
METHODS = [SCRATCH, "frozen", "all at once", "gradual", "LoRA"]


def reader() -> keras_mtl.MultiTaskModel:
    """A model that reads both digits."""
    encoder = encoders.Image((12, 12, 1), filters=[16, 32], units=64)
    return keras_mtl.build_model(encoder, [tasks.MultiClass(digit, 10) for digit in DIGITS])


def learn_digits(rows: keras_mtl.data.Examples, seed: int, epochs: int) -> keras_mtl.MultiTaskModel:
    """The model whose trunk the others start from."""
    keras.utils.set_random_seed(seed)
    model = reader()
    model.compile(keras.optimizers.Adam(2e-3), jit_compile=False)
    model.fit(dict(rows.inputs), dict(rows.labels), batch_size=128, epochs=epochs, verbose=0)
    return model


def larger(labels: dict) -> np.ndarray:
    """Whether the left digit is larger than the right."""
    return (labels["left"] > labels["right"]).astype("int32")


def add_task(
    method: str, learnt: keras_mtl.MultiTaskModel, x: dict, y: dict, test: tuple, settings: dict
) -> dict:
    """Trains the new task on a copy of the trunk; what that was worth, and what it cost."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(1000 + settings["seed"])
    start = reader()
    if method != SCRATCH:
        start.set_weights(learnt.get_weights())
    before = keras_mtl.evaluate(start, test, batch_size=1000)
    model = start.new_task(tasks.Binary("larger", tower=(32,)), keep=True)
    rates, callbacks, epochs = None, [], settings["epochs"]
    if method == "frozen":
        transfer.freeze(model, "shared")
    elif method == "gradual":
        rates = transfer.layer_wise_rates(model)
        names = ("trunk/dense", "stage_1*", "stage_0*")
        callbacks = [
            transfer.Unfreeze({(i + 1) * epochs // 8: what for i, what in enumerate(names)})
        ]
    elif method == "LoRA":
        transfer.enable_lora(model, rank=4)
    trained = [*model.shared_variables(), *model.task_variables("larger")]
    model.compile(
        keras.optimizers.Adam(2e-3),
        loss=dict.fromkeys(DIGITS),  # served, not trained
        learning_rate_multipliers=rates,
        jit_compile=False,
    )
    model.fit(x, y, batch_size=20, epochs=epochs, callbacks=callbacks, verbose=0)
    after = keras_mtl.evaluate(model, test, batch_size=1000)
    change = keras_mtl.evaluation.before_and_after(before, after)
    return {
        "larger": 100 * after["larger"]["accuracy"],
        "digits": 100 * float(np.mean([change[digit]["accuracy"] for digit in DIGITS])),
        "weights": sum(math.prod(v.shape) for v in trained),
    }


def told(values: list[float]) -> str:
    """Mean and standard error."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return f"{np.mean(values):.1f} ± {error:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=200, help="labels of the new task")
    parser.add_argument("--epochs", type=int, default=40, help="passes over them")
    parser.add_argument("--source-epochs", type=int, default=10)
    arguments = parser.parse_args()
    begun = time.time()
    train, _, test = keras_mtl.datasets.multi_digits()
    test = keras_mtl.data.Examples(
        dict(test.inputs), {**test.labels, "larger": larger(test.labels)}
    )
    found: dict[str, list[dict]] = {method: [] for method in METHODS}
    for seed in range(arguments.seeds):
        learnt = learn_digits(train, seed, arguments.source_epochs)
        few = np.random.default_rng(seed).permutation(len(train))[: arguments.labels]
        x = {name: column[few] for name, column in train.inputs.items()}
        y = {"larger": larger(train.labels)[few]}
        settings = {"seed": seed, "epochs": arguments.epochs}
        for method in METHODS:
            row = add_task(method, learnt, x, y, test, settings)
            found[method].append(row)
            print(f"seed {seed}  {method:12}  {row['larger']:.1f} %", flush=True)
    print(f"\n{'':12}  {'new task, %':>11}  {'digits, points':>14}  {'weights':>7}")
    for method, rows in found.items():
        digits = "" if method == SCRATCH else told([row["digits"] for row in rows])
        new = told([row["larger"] for row in rows])
        print(f"{method:12}  {new:>11}  {digits:>14}  {rows[0]['weights']:>7,}")
    print(f"{time.time() - begun:.0f} seconds in all")


if __name__ == "__main__":
    main()
