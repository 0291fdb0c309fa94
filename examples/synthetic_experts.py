"""When are experts worth it? Two regression tasks whose relatedness is set, as in the MMoE paper.

Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts",
KDD 2018, section 3.2: with orthogonal unit vectors u1, u2 in 100 dimensions, the tasks' weights are

    w1 = u1,    w2 = p u1 + sqrt(1 - p^2) u2,
    y_k = w_k^T x + sin(a_1 w_k^T x + b_1) + sin(a_2 w_k^T x + b_2) + noise,

so that p is the correlation of the tasks. Models of about one size are trained on the same rows: a
shared bottom of 113 units, MMoE and PLE with 8 experts of 16 units; all have towers of 8 units. The
final losses on held-out rows are printed, with means and standard errors over seeds, and drawn.

Run: python examples/synthetic_experts.py --seeds 5 --out logs/synthetic_experts.png
The picture needs matplotlib (pip install matplotlib); without it there is the table alone.
"""

import argparse
import os
import pathlib
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_mtl
from keras_mtl import encoders, sharing, tasks

WIDTH, ROWS, HELD_OUT = 100, 10_000, 2_500
NOISE = 0.1
MODELS = ("shared bottom", "MMoE", "PLE")


def rows(correlation: float, count: int, rng: np.random.Generator, w: np.ndarray) -> tuple:
    """Inputs, and the labels of both tasks."""
    second = correlation * w[0] + np.sqrt(1 - correlation**2) * w[1]
    x = rng.normal(size=(count, WIDTH))
    labels = {}
    for name, weights in (("first", w[0]), ("second", second)):
        z = x @ weights
        waves = sum(np.sin(a * z + b) for a, b in ((1.5, 0.3), (3.0, 1.1)))
        labels[name] = (z + waves + NOISE * rng.normal(size=count))[:, None].astype("float32")
    return x.astype("float32"), labels


def build(model: str) -> keras_mtl.MultiTaskModel:
    made = [tasks.Regression(name, tower=(8,)) for name in ("first", "second")]
    if model == "shared bottom":
        return keras_mtl.build_model(encoders.Dense(WIDTH, units=[113]), made)
    scheme = {
        "MMoE": lambda: sharing.MMoE(experts=8, units=(16,)),
        # As many experts in all; four are shared and two are of each task.
        "PLE": lambda: sharing.CGC(shared=4, specific=2, units=(16,)),
    }[model]()
    inputs = keras.Input((WIDTH,), name="features")
    same = keras.layers.Identity(name="same")
    return keras_mtl.build_model(same, made, scheme, inputs=inputs)


def train(model: str, correlation: float, seed: int, epochs: int) -> tuple[float, int]:
    """The mean squared error on held-out rows over the labels' variance, both tasks' mean; parameters."""
    rng = np.random.default_rng(seed)
    w = np.linalg.qr(rng.normal(size=(WIDTH, 2)))[0].T
    x, y = rows(correlation, ROWS, rng, w)
    held, wanted = rows(correlation, HELD_OUT, rng, w)
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    made = build(model)
    steps = epochs * ROWS // 250
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    made.compile(keras.optimizers.Adam(rate), jit_compile=False)
    made.fit(x, y, batch_size=250, epochs=epochs, verbose=0)
    found = made.predict(held, batch_size=HELD_OUT, verbose=0)
    errors = [np.mean(np.square(found[n] - wanted[n])) / np.var(wanted[n]) for n in wanted]
    return float(np.mean(errors)), made.count_params()


def draw(found: dict, correlations: list[float], path: pathlib.Path) -> str:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "No picture: matplotlib is not installed (pip install matplotlib)."
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for model in MODELS:
        means = [statistics.mean(found[model, c]) for c in correlations]
        spread = [
            np.std(found[model, c], ddof=1) / len(found[model, c]) ** 0.5 for c in correlations
        ]
        axes.errorbar(correlations, means, yerr=spread, marker="o", capsize=3, label=model)
    axes.set(xlabel="correlation of the tasks", ylabel="held-out error over variance")
    axes.set_title("Two tasks, models of one size")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return f"Drawn: {path}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.0, 0.5, 0.9, 1.0])
    parser.add_argument("--out", default="logs/synthetic_experts.png")
    arguments = parser.parse_args()
    found: dict = {}
    print(f"{'model':14}  {'p':>4}  {'held-out error / variance':>26}  {'parameters':>10}")
    for correlation in arguments.correlations:
        for model in MODELS:
            runs = [
                train(model, correlation, seed, arguments.epochs) for seed in range(arguments.seeds)
            ]
            errors = found[model, correlation] = [error for error, _ in runs]
            error = np.std(errors, ddof=1) / len(errors) ** 0.5 if len(errors) > 1 else np.nan
            print(
                f"{model:14}  {correlation:4.2f}  {statistics.mean(errors):16.4f} ± {error:.4f}  "
                f"{runs[0][1]:10,}",
                flush=True,
            )
    low = min(arguments.correlations)
    for model in MODELS[1:]:
        gains = np.subtract(found["shared bottom", low], found[model, low])
        sure = 2 * np.std(gains, ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else np.inf
        said = "beats" if gains.mean() > sure else "does not beat, beyond chance,"
        print(
            f"At correlation {low:g} {model} {said} the shared bottom: paired difference "
            f"{gains.mean():+.4f} ± {sure / 2:.4f}."
        )
    print(draw(found, arguments.correlations, pathlib.Path(arguments.out)))


if __name__ == "__main__":
    main()
