"""Which way of sharing for two tasks of a census? Income and marital status, as MMoE and PLE had.

Census-Income (KDD): whether somebody earns over 50,000 dollars, and never married. Single-task models,
a shared bottom, MMoE, PLE and DSelect-k are trained on the same rows, with the same budget and seeds;
printed are the areas under the ROC curve, means and standard errors over seeds, each scheme's paired
difference to the single-task models, and what that says. The rows are UCI's test part, split anew, so
that published figures are no comparison; the single-task models here are.

Run: python examples/census.py --data-dir DATA/census_income_kdd --seeds 5
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import keras_mtl
from keras_mtl import encoders, sharing, tasks

NAMES = ["income", "never_married"]
SINGLE = "single-task"
SCHEMES = ["MMoE", "PLE", "DSelect-k"]


def build(
    names: list[str], scheme: str, train: keras_mtl.data.Examples
) -> keras_mtl.MultiTaskModel:
    """The raw columns embedded, layers that are shared as the scheme says, and a head a task."""
    wide = scheme in (SINGLE, "shared bottom")
    encoder = encoders.Tabular.infer(train.inputs, units=[128, 64] if wide else [], embedding=8)
    made = [tasks.Binary(name, tower=(16,)) for name in names]
    schemes = {
        "MMoE": lambda: sharing.MMoE(experts=4, units=(64, 32)),
        "PLE": lambda: sharing.PLE(levels=2, shared=2, specific=1, units=(64,)),
        "DSelect-k": lambda: sharing.DSelectK(experts=4, k=2, units=(64, 32)),
    }
    return keras_mtl.build_model(encoder, made, "hard" if wide else schemes[scheme]())


def train_one(names: list[str], scheme: str, parts: tuple, seed: int, epochs: int) -> dict:
    """Test AUC of each task, of the epoch that is best on validation rows; parameters and seconds."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    train, valid, test = parts
    begun = time.perf_counter()
    model = build(names, scheme, train)
    model.compile(keras.optimizers.Adam(1e-3), jit_compile=False)
    batches = train.dataset(1024, shuffle=True, seed=seed)
    best, kept = -1.0, model.get_weights()
    for _ in range(epochs):
        model.fit(batches.map(lambda x, y: (x, {n: y[n] for n in names})), verbose=0)
        found = areas(model, valid, names)
        if sum(found.values()) > best:
            best, kept = sum(found.values()), model.get_weights()
    model.set_weights(kept)
    seconds = time.perf_counter() - begun
    return {**areas(model, test, names), "parameters": model.count_params(), "s": seconds}


def areas(model: keras_mtl.MultiTaskModel, rows: keras_mtl.data.Examples, names: list[str]) -> dict:
    found = model.predict(dict(rows.inputs), batch_size=8192, verbose=0)
    return {name: float(roc_auc_score(rows.labels[name], found[name][:, 0])) for name in names}


def spread(values: list[float]) -> str:
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return f"{np.mean(values):.4f} ± {error:.4f}"


def verdict(scheme: str, found: dict) -> str:
    """What a scheme is worth against single-task models, task by task, by paired differences."""
    said = []
    for name in NAMES:
        gains = np.subtract(found[scheme][name], found[SINGLE][name])
        error = np.std(gains, ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.inf
        word = (
            "better"
            if gains.mean() > 2 * error
            else "worse"
            if gains.mean() < -2 * error
            else "even"
        )
        said.append(f"{name} {word} ({gains.mean():+.4f} ± {error:.4f})")
    return f"{scheme}: " + ", ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rows", type=int, default=0, help="training rows; all by default")
    parser.add_argument(
        "--schemes", nargs="+", choices=SCHEMES, default=SCHEMES,
        help="to compare with the shared bottom and a model for each task",
    )  # fmt: skip
    arguments = parser.parse_args()
    train, valid, test = keras_mtl.datasets.census_income(arguments.data_dir)
    if arguments.rows:
        train = train.select(np.arange(min(arguments.rows, len(train))))
    found: dict = {}
    schemes = [SINGLE, "shared bottom", *arguments.schemes]
    print(f"{'':14}  {'income AUC':>16}  {'never married AUC':>17}  {'parameters':>10}  {'s':>5}")
    for scheme in schemes:
        apart = [[name] for name in NAMES] if scheme == SINGLE else [NAMES]
        runs = []
        for seed in range(arguments.seeds):
            parts = (train, valid, test)
            each = [train_one(names, scheme, parts, seed, arguments.epochs) for names in apart]
            sums = {key: sum(run[key] for run in each) for key in ("parameters", "s")}
            runs.append({k: v for run in each for k, v in run.items()} | sums)
        found[scheme] = {key: [run[key] for run in runs] for key in runs[0]}
        print(
            f"{scheme:14}  {spread(found[scheme]['income']):>16}  "
            f"{spread(found[scheme]['never_married']):>17}  {runs[0]['parameters']:10,}  "
            f"{np.mean(found[scheme]['s']):5.0f}",
            flush=True,
        )
    print("\nAgainst a model for each task, paired over seeds:")
    for scheme in schemes[1:]:
        print(verdict(scheme, found))
    best = max(schemes[1:], key=lambda s: sum(np.mean(found[s][n]) for n in NAMES))
    bottom = [sum(pair) for pair in zip(*(found["shared bottom"][n] for n in NAMES), strict=True)]
    gains = np.subtract(
        [sum(p) for p in zip(*(found[best][n] for n in NAMES), strict=True)], bottom
    )
    error = np.std(gains, ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.inf
    if best != "shared bottom" and gains.mean() > 2 * error:
        print(
            f"Worth it: {best}, by {gains.mean():+.4f} ± {error:.4f} in summed AUC over the shared bottom."
        )
    else:
        print(
            "No scheme here is worth more than the shared bottom, beyond chance: "
            f"the best is {best}, {gains.mean():+.4f} ± {error:.4f} in summed AUC."
        )


if __name__ == "__main__":
    main()
