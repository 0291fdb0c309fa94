"""Which balancer for two overlapping digits? All of them, against a model for each digit.

Trains the network of Sener and Koltun ("Multi-Task Learning as Multi-Objective Optimization",
NeurIPS 2018) on MultiMNIST, once for each digit alone and once jointly for every balancer, with the
same rows, epochs, optimizer and seeds; prints test accuracy and Delta_m, means and spreads over seeds.

Run: python examples/multi_mnist.py --data-dir DATA --balancer all --seeds 3 --out results.json
What --out holds for the same settings is not trained again: an interrupted run goes on.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import keras_mtl
from keras_mtl import tasks

DIGITS = ["left", "right"]
SINGLE = "single-task"


def build(names: list[str]) -> keras_mtl.MultiTaskModel:
    """LeNet with a head for each of these digits."""
    layers = keras.layers
    image = keras.Input((36, 36, 1), name="image")
    x = layers.Conv2D(10, 5, activation="relu")(image)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(20, 5, activation="relu")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Dense(50, activation="relu")(layers.Flatten()(x))
    return keras_mtl.build_model(
        keras.Model(image, x), [tasks.MultiClass(name, classes=10) for name in names]
    )


def train(names: list[str], balancer: str | None, settings: dict, rows: tuple) -> dict:
    """Trains one model; its accuracies, parameters and seconds."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(settings["seed"])
    begun = time.perf_counter()
    learnt, judged = rows
    batches = learnt.dataset(settings["batch"], shuffle=True, seed=settings["seed"])
    model = build(names)
    # XLA would take longer to compile a step than all steps take.
    optimizer = keras.optimizers.Adam(settings["rate"])
    model.compile(optimizer, balancer=balancer, jit_compile=False)
    model.fit(
        batches.map(lambda x, y: (x, {name: y[name] for name in names})),
        epochs=settings["epochs"],
        verbose=0,
    )
    seconds = time.perf_counter() - begun
    report = keras_mtl.evaluate(model, judged, batch_size=1000)
    return {
        "accuracy": {name: report[name]["accuracy"] for name in names},
        "parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
        "seconds": seconds,
    }


def run(method: str, settings: dict, rows: tuple) -> dict:
    """One row of the results: a joint model, or a model for each digit."""
    if method != SINGLE:
        return train(DIGITS, method, settings, rows)
    alone = [train([name], None, settings, rows) for name in DIGITS]
    return {
        "accuracy": {name: value for one in alone for name, value in one["accuracy"].items()},
        "parameters": sum(one["parameters"] for one in alone),
        "seconds": sum(one["seconds"] for one in alone),
    }


def table(results: list[dict], methods: list[str]) -> keras_mtl.evaluation.Comparison:
    """All methods, the one with the largest mean Delta_m first, below the single-task models."""
    found = {m: [r for r in results if r["method"] == m] for m in methods}

    def compared(order: list[str]) -> keras_mtl.evaluation.Comparison:
        return keras_mtl.evaluation.Comparison(
            dict.fromkeys(DIGITS, "accuracy"),
            dict.fromkeys(DIGITS, True),
            {m: {d: [r["accuracy"][d] for r in found[m]] for d in DIGITS} for m in order},
            {m: found[m][0]["parameters"] for m in order},
            {m: statistics.mean(r["seconds"] for r in found[m]) for m in order},
        )

    gains = {m: statistics.mean(deltas) for m, deltas in compared(methods).delta.items()}
    return compared([SINGLE, *sorted(gains, key=gains.__getitem__, reverse=True)])


class Results:
    """What has been trained, in memory and in a file.

    Args:
        path: A JSON file, a list of rows, written anew with each; None keeps them in memory alone.
    """

    def __init__(self, path: str | None):
        self.path = None if path is None else pathlib.Path(path)
        there = self.path is not None and self.path.exists()
        self.rows = json.loads(self.path.read_text(encoding="utf-8")) if there else []

    def find(self, key: dict) -> dict | None:
        """The row of a method under the same settings, if it has been trained."""
        return next((r for r in self.rows if all(r.get(k) == v for k, v in key.items())), None)

    def add(self, row: dict) -> None:
        self.rows.append(row)
        if self.path is not None:
            waiting = self.path.with_suffix(".part")
            waiting.write_text(json.dumps(self.rows, indent=1) + "\n", encoding="utf-8")
            waiting.replace(self.path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--balancer", nargs="+", default=["all"], help="names, or 'all'")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=4800, help="training canvases")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--out", default=None, help="results, a JSON file")
    arguments = parser.parse_args()
    begun = time.time()
    chosen = (
        keras_mtl.balancing.names() if "all" in arguments.balancer else sorted(arguments.balancer)
    )
    for balancer in chosen:
        keras_mtl.balancing.get(balancer)  # a name that is not known is told at once
    results = Results(arguments.out)
    # Some balancers cut a batch in two or three, so its size is a multiple of six.
    budget = {
        "train": arguments.train,
        "test": 10_000,
        "epochs": arguments.epochs,
        "batch": 120,
        "rate": 0.003,
    }
    told = ", ".join(f"{name} {value}" for name, value in budget.items())
    print(f"The same for every model, single-task ones too: {told} (Adam).", flush=True)
    learnt, _, judged = keras_mtl.datasets.multi_mnist(
        arguments.data_dir, train=budget["train"], valid=1, test=budget["test"]
    )
    methods = [SINGLE, *chosen]
    shown = []
    for seed in range(arguments.seeds):
        for method in methods:
            settings = {**budget, "seed": seed}
            key = {"method": method, **settings}
            row = results.find(key)
            if row is None:
                row = {**key, **run(method, settings, (learnt, judged))}
                results.add(row)
                left, right = (row["accuracy"][digit] for digit in DIGITS)
                print(
                    f"seed {seed}  {method:16} left {left:.4f}  right {right:.4f}  "
                    f"{row['seconds']:.1f} s",
                    flush=True,
                )
            shown.append(row)
    print(f"\n{table(shown, methods)}")
    if len(chosen) > 1:
        print(f"The best of {len(chosen)} methods is partly the luckiest: mind the spread.")
    print(f"{time.time() - begun:.0f} seconds in all")


if __name__ == "__main__":
    main()
