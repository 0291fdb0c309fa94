"""New classes from one example of each, or five: what is training on other classes worth?

Numbers of two handwritten digits that partly cover each other make a hundred classes. A network learns
from two thirds of them, and is then asked about the rest, five numbers at a time that it never saw,
of which it is shown one or five canvases each. Compared are the nearest mean of raw pixels, of the
features of a multi-task model (which digit is left, which is right), and the same model trained on
episodes after that: for prototypes (Snell et al., NeurIPS 2017) and by ANIL (Raghu et al., ICLR 2020).
The last two are also trained from scratch, on episodes alone.

Run: python examples/few_shot.py. The digits come with scikit-learn; with --data mnist and --data-dir
they are those of MNIST. Printed are accuracies on 200 episodes with 95 % intervals.
"""

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mtl
from keras_mtl import datasets, encoders, tasks, transfer

# The numbers whose digits add up to a multiple of three are kept for later.
UNSEEN = [n for n in range(100) if (n // 10 + n % 10) % 3 == 0]
METHODS = {
    "nearest mean": transfer.prototypical_scores,
    "ANIL": functools.partial(transfer.anil_scores, steps=10),
}


def canvases(settings: argparse.Namespace) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures and the numbers they show: of seen classes to train on, of unseen ones to judge by."""
    sizes = {"train": settings.rows, "valid": 1, "test": settings.rows, "seed": settings.seed}
    if settings.data == "mnist":
        learnt, _, asked = datasets.multi_mnist(settings.data_dir, shift=8, **sizes)
    else:
        learnt, _, asked = datasets.multi_digits(shift=4, **sizes)
    found = []
    for rows, seen in ((learnt, True), (asked, False)):
        numbers = 10 * rows.labels["left"] + rows.labels["right"]
        kept = np.isin(numbers, UNSEEN) != seen
        found.append((rows.inputs["image"][kept], numbers[kept]))
    return found


def build(shape: tuple[int, ...], seed: int) -> keras_mtl.MultiTaskModel:
    """A small convolutional network with a head for each of the two digits."""
    keras.utils.set_random_seed(seed)
    encoder = encoders.Image(shape, filters=[32, 64], units=64)
    return keras_mtl.build_model(encoder, [tasks.MultiClass(n, 10) for n in ("left", "right")])


def main(settings: argparse.Namespace) -> None:
    (x, numbers), (new, truth) = canvases(settings)
    episodes = transfer.Episodes(x, numbers, ways=10, shots=1, queries=5)

    def trained(first: bool, then: str | None) -> keras_mtl.MultiTaskModel:
        """Trained on the two tasks, on episodes by that method, or on both one after the other."""
        model = build(x.shape[1:], settings.seed)
        if first:
            model.compile(keras.optimizers.Adam(0.001))
            digits = {"left": numbers // 10, "right": numbers % 10}
            model.fit(x, digits, batch_size=64, epochs=settings.epochs, verbose=0)
        options = {"steps": settings.steps, "epochs": 1, "verbose": 0}
        # With less to learn, smaller steps.
        optimizer = keras.optimizers.Adam(0.0003 if first else 0.001)
        if then == "nearest mean":
            transfer.fit_prototypes(model, episodes, optimizer=optimizer, **options)
        elif then == "ANIL":
            transfer.fit_anil(model, episodes, inner_steps=10, optimizer=optimizer, **options)
        return model

    rows = {
        "raw pixels, nearest mean": (None, "nearest mean"),
        "two tasks, nearest mean": (trained(True, None), "nearest mean"),
        "episodes, nearest mean": (trained(False, "nearest mean"), "nearest mean"),
        "episodes, ANIL": (trained(False, "ANIL"), "ANIL"),
        "two tasks, then episodes, nearest mean": (trained(True, "nearest mean"), "nearest mean"),
        "two tasks, then episodes, ANIL": (trained(True, "ANIL"), "ANIL"),
    }
    print("Five numbers of two digits that were never seen; chance is 0.200.\n")
    print(f"{'':39} {'one example':>15}  {'five examples':>15}")
    for name, (model, method) in rows.items():
        features = new if model is None else transfer.features_model(model).predict(new, verbose=0)
        found = [
            transfer.few_shot_accuracy(
                transfer.Episodes(features, truth, ways=5, shots=shots, queries=10),
                METHODS[method],
                count=settings.episodes,
            )
            for shots in (1, 5)
        ]
        print(f"{name:39} " + "  ".join(f"{f.mean:.3f} +- {f.margin:.3f}" for f in found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--data-dir", default=os.environ.get("KERAS_MTL_DATA"))
    parser.add_argument("--rows", type=int, default=6000, help="canvases, of which 2/3 are seen")
    parser.add_argument("--epochs", type=int, default=6, help="of the two tasks")
    parser.add_argument("--steps", type=int, default=600, help="episodes to train on")
    parser.add_argument("--episodes", type=int, default=200, help="to judge by")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
