"""Conversions of all impressions, where those that were not clicked never tell: what helps?

Impressions are clicked or not, and clicks convert or not. A simulation knows the truth: columns that
a model sees, and an interest that it does not, which raises the chance of a click and of a conversion
after it. Compared, on impressions of which most are not clicked, are a model whose conversions are
learnt on clicked rows alone, ESMM (`given="click"`, all rows), and AITM with its calibrator
(`at_most`) and with `given`. Printed, as means and standard errors over seeds:

- the area under the ROC curve of P(click and conversion);
- the bias of P(conversion | click), and its calibration error over deciles, against what the columns
  tell of it: the exact P(conversion | click);
- its bias against the chance of a conversion if everybody clicked. Clickers are more interested than
  others, so even the exact P(conversion | click) of all columns is too high: the row "truth".

Run: python examples/conversions.py --seeds 5
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.metrics import roc_auc_score

import keras_mtl
from keras_mtl import encoders, sharing, tasks

COLUMNS = 12
BASE = "clicked rows"
SCHEMES = [BASE, "ESMM", "AITM at_most", "AITM given"]
FIGURES = ["auc", "bias", "calibration", "if clicked"]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def log_odds(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a click, and of a conversion after it, but for the interest that no column tells."""
    both = 0.7 * x[:, 0] + 0.5 * x[:, 1] * x[:, 2]
    return -3.2 + both + 0.8 * np.tanh(2 * x[:, 3]), -2.2 + both + 0.9 * x[:, 4] - 0.6 * x[:, 3]


def world(rows: int, confounding: float, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Columns, and what came of each impression."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, COLUMNS))
    interest = confounding * rng.normal(size=rows)
    to_click, to_convert = log_odds(x)
    click = rng.random(rows) < sigmoid(to_click + interest)
    conversion = click & (rng.random(rows) < sigmoid(to_convert + interest))
    labels = {"click": click.astype("float32"), "conversion": conversion.astype("float32")}
    return x.astype("float32"), labels


def truth(x: np.ndarray, confounding: float) -> dict[str, np.ndarray]:
    """What the columns tell, exactly, as an average over interests (Gauss and Hermite's points)."""
    points, weights = np.polynomial.hermite_e.hermegauss(24)
    to_click, to_convert = (s[:, None] + confounding * points for s in log_odds(x))
    weights = weights / weights.sum()
    click, both = sigmoid(to_click) @ weights, (sigmoid(to_click) * sigmoid(to_convert)) @ weights
    return {"click": click, "both": both, "if clicked": sigmoid(to_convert) @ weights}


def build(scheme: str) -> keras_mtl.MultiTaskModel:
    """A shared layer, and a layer a task: in the heads, or in AITM's towers."""
    sequence = scheme.startswith("AITM")
    tower = () if sequence else (32,)
    link = {"ESMM": {"given": "click"}, "AITM given": {"given": "click"},
            "AITM at_most": {"at_most": {"click": 0.6}}}.get(scheme, {})  # fmt: skip
    made = [tasks.Binary("click", tower=tower), tasks.Binary("conversion", tower=tower, **link)]
    return keras_mtl.build_model(
        encoders.Dense(COLUMNS, units=[64]), made, sharing.AITM(units=(32,)) if sequence else "hard"
    )


def train_one(scheme: str, arguments: argparse.Namespace, seed: int, test: tuple) -> dict:
    """The figures of a scheme on test impressions, of its best epoch on validation impressions."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    x, labels = world(arguments.rows, arguments.confounding, seed + 1)
    if scheme == BASE:
        seen = np.where(labels["click"] == 1, labels["conversion"], np.nan)
        labels = {**labels, "conversion": seen}
    model = build(scheme)
    model.compile(keras.optimizers.Adam(3e-3), jit_compile=False)
    cut = len(x) * 4 // 5
    parts = [(x[rows], {n: y[rows] for n, y in labels.items()}) for rows in
             (slice(cut), slice(cut, None))]  # fmt: skip
    model.fit(
        *parts[0], validation_data=parts[1], batch_size=1024, epochs=arguments.epochs, verbose=0,
        callbacks=[keras_mtl.callbacks.EarlyStopping(patience=3)],
    )  # fmt: skip
    served = model.predict(test[0], batch_size=8192, verbose=0)
    click, conversion = (served[name][:, 0].astype("float64") for name in ("click", "conversion"))
    if scheme == BASE:
        return figures(click * conversion, conversion, test)
    return figures(conversion, np.minimum(conversion / click, 1), test)


def figures(both: np.ndarray, conditional: np.ndarray, test: tuple) -> dict:
    """How good chances of both, and of a conversion given a click, are on all test impressions."""
    _, labels, exact = test
    target = exact["both"] / exact["click"]
    by_decile = np.array_split(np.argsort(conditional, kind="stable"), 10)
    gaps = [abs(conditional[rows].mean() - target[rows].mean()) for rows in by_decile]
    return {
        "auc": float(roc_auc_score(labels["conversion"], both)),
        "bias": 100 * float(conditional.mean() - target.mean()),
        "calibration": 100 * float(np.mean(gaps)),
        "if clicked": 100 * float(conditional.mean() - exact["if clicked"].mean()),
    }


def error_of(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else np.inf


def line(name: str, found: dict) -> str:
    cells = []
    for key in FIGURES:
        sign, digits = ("", 4) if key == "auc" else ("" if key == "calibration" else "+", 2)
        spread = f" ± {error_of(np.array(found[key])):.{digits}f}" if len(found[key]) > 1 else ""
        cells.append(f"{np.mean(found[key]):{sign}.{digits}f}{spread}")
    return f"{name:14}" + "".join(f"  {cell:>16}" for cell in cells)


def gains(scheme: str, found: dict, key: str) -> np.ndarray:
    """What a scheme is better by, seed by seed: a greater area, a figure nearer to 0."""
    ours, base = (np.array(found[s][key]) for s in (scheme, BASE))
    return ours - base if key == "auc" else np.abs(base) - np.abs(ours)


def verdict(scheme: str, found: dict) -> str:
    said = []
    for key in FIGURES[:3]:
        gained = gains(scheme, found, key)
        mean, error = gained.mean(), error_of(gained)
        word = "better" if mean > 2 * error else "worse" if mean < -2 * error else "even"
        digits = 4 if key == "auc" else 2
        said.append(f"{key} {word} ({mean:+.{digits}f} ± {error:.{digits}f})")
    return f"{scheme}: " + ", ".join(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=40_000, help="impressions; a fifth validates")
    parser.add_argument("--epochs", type=int, default=15, help="at most")
    parser.add_argument("--confounding", type=float, default=1.0, help="how much interest counts")
    arguments = parser.parse_args()
    x, labels = world(100_000, arguments.confounding, 0)
    test = (x, labels, truth(x, arguments.confounding))
    clicked = labels["click"] == 1
    print(
        f"{clicked.mean():.1%} of impressions are clicked; of these convert "
        f"{labels['conversion'][clicked].mean():.1%}, of all if all clicked "
        f"{test[2]['if clicked'].mean():.1%}\n\n"
        f"{'':14}  {'AUC of both':>16}  {'bias, points':>16}  {'calibration':>16}  "
        f"{'bias if clicked':>16}"
    )
    found: dict = {}
    for scheme in SCHEMES:
        runs = [train_one(scheme, arguments, seed, test) for seed in range(arguments.seeds)]
        found[scheme] = {key: [run[key] for run in runs] for key in FIGURES}
        print(line(scheme, found[scheme]), flush=True)
    exact = figures(test[2]["both"], test[2]["both"] / test[2]["click"], test)
    print(line("truth", {key: [value] for key, value in exact.items()}))
    print("\nAgainst conversions learnt on clicked rows alone, paired over seeds:")
    for scheme in SCHEMES[1:]:
        print(verdict(scheme, found))
    said = {"auc": "the area", "bias": "the bias", "calibration": "the calibration"}
    for key, what in said.items():
        helps = [
            s for s in SCHEMES[1:]
            if gains(s, found, key).mean() > 2 * error_of(gains(s, found, key))
        ]  # fmt: skip
        print(f"Helps {what} beyond chance: {', '.join(helps) or 'none of them'}.")
    print(
        "None takes away what interest does to P(conversion | click): the truth is "
        f"{exact['if clicked']:+.2f} points too high as a chance if everybody clicked."
    )


if __name__ == "__main__":
    main()
