"""A data set for each task: one table knows incomes, another marital status, one model learns both.

The rows of the UCI Adult census are cut in two; one half keeps only the income, the other only
whether somebody never married. Stock Keras has no place for that; here each batch comes from one
half, and the other task sits the step out.

Run: python examples/separate_datasets.py --data-dir DATA   (or set KERAS_MTL_DATA)
Without data it makes a small table up, so that the mechanics can be seen.
"""

import argparse
import os
import pathlib

import keras
import numpy as np

import keras_mtl
from keras_mtl import data, encoders, tasks


def load(folder: str | None) -> tuple[data.Examples, data.Examples]:
    """Training and test rows with both labels."""
    labels = {"income": "income", "never_married": "never_married"}
    if folder is None:
        rng = np.random.default_rng(0)
        age, hours = rng.uniform(18, 80, 4000), rng.uniform(10, 60, 4000)
        table = {
            "age": age,
            "hours": hours,
            "income": np.where(age * hours + 200 * rng.normal(size=4000) > 2200, ">50K", "<=50K"),
            "never_married": np.where(age + 8 * rng.normal(size=4000) < 32, "yes", "no"),
        }
        return data.split(data.from_frame(table, ["age", "hours"], labels), [0.7, 0.3])
    root = pathlib.Path(folder)
    root = root / "adult" if (root / "adult").is_dir() else root
    table = data.read_csv(root / "adult.data.gz")
    table["income"] = table.pop("Salary")
    married = table.pop("marital-status")
    table["never_married"] = np.where(married == "Never-married", "yes", "no")
    # The relationship tells of a marriage, and the weight of a row is no feature.
    inputs = [c for c in table if c not in (*labels, "relationship", "fnlwgt")]
    return data.split(data.from_frame(table, inputs, labels), [0.7, 0.3])


def only(rows: data.Examples, task: str) -> data.Examples:
    """The same rows with the labels of one task alone."""
    return data.Examples(rows.inputs, {task: rows.labels[task]}, allow_nan=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", default=os.environ.get("KERAS_MTL_DATA") or None)
    parser.add_argument("--sampling", default="proportional")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    train, test = load(arguments.data_dir)
    half = np.arange(len(train)) % 2 == 0
    incomes = only(train.select(np.flatnonzero(half)), "income")
    marriages = only(train.select(np.flatnonzero(~half)), "never_married")

    model = keras_mtl.build_model(
        encoders.Tabular.infer(train.inputs, units=[64, 32]),
        [
            tasks.Binary("income", classes=train.classes["income"], class_weight="balanced"),
            tasks.Binary("never_married", classes=train.classes["never_married"]),
        ],
    )
    model.compile(keras.optimizers.Adam(2e-3))
    batches = data.mix(
        {"incomes": incomes, "marriages": marriages},
        arguments.sampling,
        batch_size=128,
        seed=0,
    )
    model.fit(batches, epochs=arguments.epochs, verbose=2)
    print(keras_mtl.evaluate(model, test, batch_size=1024))


if __name__ == "__main__":
    main()
