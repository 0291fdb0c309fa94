"""How far apart are two groups, and what does it cost to bring them closer? Adult, or COMPAS.

Three tasks are learnt together, with and without a loss that draws the scores of the first one alike in
two groups: women and men (Adult), African-American and Caucasian defendants (COMPAS). Printed are, for
each task, what it is good for and how far the groups are apart on test rows, mean and standard
deviation over seeds, for each strength of that loss; and in a sentence what the gap lost and the task
paid, seed by seed.

Run: python examples/fairness.py --data-dir DATA/adult
     python examples/fairness.py --data-dir DATA/compas
"""

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mtl
from keras_mtl import datasets, encoders, fairness, tasks

BATCH = 256
GOOD_FOR = ("auc", "rmse")
GAPS = (
    "demographic_parity_difference",
    "equalized_odds_difference",
    "mean_prediction_difference",
    "mean_error_difference",
)
# What each data set is judged by: the tasks, the attribute, and how many passes over the rows it takes.
DATA = {
    "adult": (
        lambda: [
            tasks.Binary("income"),
            tasks.Binary("never_married"),
            tasks.Regression("education_years", units="years"),
        ],
        "sex",
        4,
    ),
    "compas": (
        lambda: [
            tasks.Binary("two_year_recid"),
            tasks.Binary("violent_recid"),
            tasks.Regression("decile_score"),
        ],
        "race",
        15,
    ),
}


def found(folder: str | None) -> str:
    """Which of the data sets a folder holds; Adult where none is named."""
    if folder is None:
        return next(iter(DATA))
    for name in DATA:
        if any(pathlib.Path(folder).glob(f"{name}*")):
            return name
    raise SystemExit(f"{folder!r} holds neither Adult nor COMPAS; name the folder of one of them.")


def groups_of(rows, attribute: str) -> np.ndarray:
    """Which of the two groups a row is of; -1 for other groups, which are too few to compare."""
    labels = rows.labels[attribute]
    return np.where(labels < 2, labels, -1).astype("int32")


def judged(name: str, folder: str | None, strength: float, seed: int, arguments) -> dict:
    """`{task: {what: value}}` on test rows of a model that was trained with that strength."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    make_tasks, attribute, epochs = DATA[name]
    train, _, test = getattr(datasets, name)(folder, seed=seed)
    learnt = make_tasks()
    model = keras_mtl.build_model(
        encoders.Tabular.infer(train.inputs, units=[64, 32]),
        learnt,
        fairness={
            learnt[0].name: fairness.MMD(
                "group", groups=2, strength=strength, criterion=arguments.criterion
            )
        },
    )
    model.compile(keras.optimizers.Adam(2e-3))
    labels = {task.name: train.labels[task.name] for task in learnt}
    labels["group"] = groups_of(train, attribute)
    inputs = dict(train.inputs)
    model.fit(inputs, labels, batch_size=BATCH, epochs=arguments.epochs or epochs, verbose=0)
    names = np.array([*test.classes[attribute][:2], ""])
    report = keras_mtl.evaluate(
        model, test, batch_size=4096, sensitive={attribute: names[groups_of(test, attribute)]}
    )
    return {
        task: {
            **{k: v for k, v in report[task].items() if k in GOOD_FOR},
            **{k: v for k, v in report.fairness[task][attribute].gaps.items() if k in GAPS},
        }
        for task in report.scores
    }


def spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def verdict(task: str, gap: str, strength: float, before: dict, after: dict) -> str:
    """What the gap lost and the task paid, paired over seeds; chance is two standard errors."""
    cut, cost = (before[k] - after[k] for k in (gap, "auc"))
    errors = [spread(v) / len(v) ** 0.5 for v in (cut, cost)]
    what = gap.replace("_", " ")
    change = (
        f"{before[gap].mean():.3f} to {after[gap].mean():.3f} (cut by {cut.mean():.3f} ± "
        f"{errors[0]:.3f}), for {cost.mean():.4f} ± {errors[1]:.4f} of AUC"
    )
    told = "" if abs(cut.mean()) > 2 * errors[0] else " That is not beyond chance."
    return f"Strength {strength:g}: the {what} of {task} goes from {change}.{told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--data", choices=list(DATA), default=None, help="by default what is there")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strengths", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--criterion", default="demographic_parity")
    parser.add_argument("--epochs", type=int, default=None)
    arguments = parser.parse_args()
    name = arguments.data or found(arguments.data_dir)
    make_tasks, attribute, _ = DATA[name]
    first = make_tasks()[0].name
    print(f"{name}, groups by {attribute}; the loss ({arguments.criterion}) is on {first} alone")
    values: dict[float, dict] = {}
    for strength in [0.0, *arguments.strengths]:
        runs = [
            judged(name, arguments.data_dir, strength, seed, arguments)
            for seed in range(arguments.seeds)
        ]
        values[strength] = {
            task: {what: np.array([run[task][what] for run in runs]) for what in runs[0][task]}
            for task in runs[0]
        }
        print(f"\n{'before' if strength == 0 else f'after, strength {strength:g}'}")
        for task, row in values[strength].items():
            for what, v in row.items():
                print(f"{task:16} {what:30} {v.mean():.4f} ± {spread(v):.4f}", flush=True)
    print()
    gap = GAPS[0] if arguments.criterion == "demographic_parity" else GAPS[1]
    for strength in arguments.strengths:
        before, after = values[0.0][first], values[strength][first]
        print(verdict(first, gap, strength, before, after))


if __name__ == "__main__":
    main()
