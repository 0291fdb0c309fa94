"""A hospital that no label came from: does alignment help? Four hospitals, each left out in turn.

Heart disease is to be told at a hospital whose patients are known and whose diagnoses are not. The
model learns from the labels of the other three; an alignment besides draws the features of all four
together, the labels of the fourth being missing (-1). Printed is the area under the ROC curve at the
hospital left out, mean and standard deviation over seeds: without, with MMD, CORAL, and adversarially.

Run: python examples/domain_shift.py --data-dir DATA/heart_disease --seeds 5
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import keras_mtl
from keras_mtl import alignment, encoders, tasks

METHODS = {
    "none": lambda steps: None,
    "MMD": lambda steps: alignment.MMD(domains=4, weight=0.3),
    "CORAL": lambda steps: alignment.CORAL(domains=4, weight=1.0),
    "adversarial": lambda steps: alignment.Adversarial(
        domains=4, units=(16,), steps=steps, weight=0.3
    ),
}


def together(hospitals: dict, target: str) -> tuple[dict, dict]:
    """The rows of all hospitals, without the diagnoses of one."""
    parts = list(hospitals.values())
    x = {name: np.concatenate([p.inputs[name] for p in parts]) for name in parts[0].inputs}
    diseases = [
        np.full(len(rows), -1, "int32") if name == target else rows.labels["disease"]
        for name, rows in hospitals.items()
    ]
    return x, {
        "disease": np.concatenate(diseases),
        "hospital": np.concatenate([p.labels["hospital"] for p in parts]),
    }


def area(hospitals: dict, target: str, method: str, seed: int, epochs: int) -> float:
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    x, y = together(hospitals, target)
    steps = epochs * -(-len(y["disease"]) // 128)
    aligned = METHODS[method](steps)
    model = keras_mtl.build_model(
        encoders.Tabular.infer(x, units=[32, 16], embedding=3, dropout=0.2),
        [tasks.Binary("disease")],
        alignment=None if aligned is None else {"hospital": aligned},
    )
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    y = {name: y[name] for name in model.label_names}
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    judged = hospitals[target]
    found = model.predict(dict(judged.inputs), batch_size=512, verbose=0)["disease"][:, 0]
    return float(roc_auc_score(judged.labels["disease"], found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument(
        "--methods", nargs="+", choices=list(METHODS)[1:], default=list(METHODS)[1:],
        help="to compare with none",
    )  # fmt: skip
    arguments = parser.parse_args()
    hospitals = keras_mtl.datasets.heart_disease(arguments.data_dir)
    print(
        f"{'alignment':12}  " + "  ".join(f"{name:>13}" for name in hospitals) + f"  {'mean':>13}"
    )
    ill = [f"{100 * rows.labels['disease'].mean():.0f} % ill" for rows in hospitals.values()]
    print(f"{'':12}  " + "  ".join(f"{cell:>13}" for cell in ill))
    means: dict[str, np.ndarray] = {}
    for method in ("none", *arguments.methods):
        table = np.array(
            [
                [area(hospitals, name, method, seed, arguments.epochs) for name in hospitals]
                for seed in range(arguments.seeds)
            ]
        )
        means[method] = table.mean(axis=1)
        columns = [*table.T, means[method]]
        spread = [np.std(c, ddof=1) if len(c) > 1 else np.nan for c in columns]
        cells = [f"{c.mean():.3f} ± {s:.3f}" for c, s in zip(columns, spread, strict=True)]
        print(f"{method:12}  " + "  ".join(f"{cell:>13}" for cell in cells), flush=True)
    for method in arguments.methods:
        gains = means[method] - means["none"]
        error = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.inf
        said = (
            "helps"
            if gains.mean() > 2 * error
            else "hurts"
            if gains.mean() < -2 * error
            else ("makes no difference that can be told from chance")
        )
        print(f"{method} {said}: {gains.mean():+.3f} ± {error:.3f} in mean AUC, paired over seeds.")


if __name__ == "__main__":
    main()
