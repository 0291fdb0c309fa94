"""When are experts worth it? Two regression tasks whose relatedness is set, as in the MMoE paper.

Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts",
KDD 2018, section 3.2: with orthogonal unit vectors u1, u2 in 100 dimensions, the tasks' weights are

    w1 = u1,    w2 = p u1 + sqrt(1 - p^2) u2,
    y_k = w_k^T x + sum_i sin(a_i w_k^T x + b_i) + noise,

so that p is the correlation of the tasks' weights. Models of about one size are trained on the same
rows: a shared bottom of 113 units, MMoE and PLE with 8 experts of 16 units; all have towers of 8 units.
As there is no end to such rows, every step has new ones: what a model falls short of is not for want
of data. (On ten thousand rows seen again and again all are as far off as those rows leave them, and
more experts only learn them by heart.) The paper does not say its waves; here they are a = 1.5 and 3 at
phases drawn anew by each seed. Each model has the better of two learning rates, on the mean over seeds.
The final losses on rows held out are printed, with means and standard errors over seeds, and drawn.

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
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, sharing, tasks

WIDTH, BATCH, HELD_OUT = 100, 256, 5_120
NOISE = 0.1
WAVES = (1.5, 3.0)
RATES = (3e-3, 1e-2)
MODELS = ("shared bottom", "MMoE", "PLE")


class Rows:
    """An endless set of rows of two tasks of a given correlation.

    Args:
        correlation: p.
        seed: Of the weights, the phases and the rows.
    """

    def __init__(self, correlation: float, seed: int):
        rng = np.random.default_rng(seed)
        u = np.linalg.qr(rng.normal(size=(WIDTH, 2)))[0]
        second = correlation * u[:, 0] + np.sqrt(1 - correlation**2) * u[:, 1]
        self.weights = np.stack([u[:, 0], second], axis=1).astype("float32")
        self.phases = rng.uniform(0, 2 * np.pi, size=len(WAVES)).astype("float32")
        self.seed = seed

    def draw(self, index: tf.Tensor, count: int = BATCH) -> tuple:
        """Inputs `(count, 100)` and the labels of both tasks; others for every index."""
        index = tf.cast(index, tf.int32)
        x = tf.random.stateless_normal((count, WIDTH), seed=tf.stack([index, self.seed]))
        z = x @ self.weights
        noise = tf.random.stateless_normal(z.shape, seed=tf.stack([index, -1 - self.seed]))
        waves = [tf.sin(a * z + b) for a, b in zip(WAVES, self.phases, strict=True)]
        y = z + tf.add_n(waves) + NOISE * noise
        return x, {"first": y[:, :1], "second": y[:, 1:]}

    def batches(self, steps: int) -> tf.data.Dataset:
        """As many batches, of rows that no other has."""
        return tf.data.Dataset.range(1, steps + 1).map(self.draw).prefetch(8)


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


def train(model: str, rows: Rows, rate: float, steps: int) -> tuple[float, int]:
    """The mean squared error on held-out rows over the labels' variance, both tasks' mean; parameters."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(rows.seed)
    made = build(model)
    falling = keras.optimizers.schedules.CosineDecay(rate, steps)
    made.compile(
        keras.optimizers.Adam(falling),
        metrics={"first": [], "second": []},
        steps_per_execution=min(steps, 100),
        jit_compile=False,
    )
    made.fit(rows.batches(steps), verbose=0)
    held, wanted = rows.draw(0, HELD_OUT)
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
    axes.set_ylim(bottom=0)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return f"Drawn: {path}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--correlations", type=float, nargs="+", default=[0.0, 0.5, 0.9, 1.0])
    parser.add_argument("--out", default="logs/synthetic_experts.png")
    arguments = parser.parse_args()
    found: dict = {}
    print(
        f"{'model':14}  {'p':>4}  {'held-out error / variance':>26}  {'parameters':>10}  {'rate':>5}"
    )
    for correlation in arguments.correlations:
        for model in MODELS:
            runs = {
                rate: [
                    train(model, Rows(correlation, seed), rate, arguments.steps)
                    for seed in range(arguments.seeds)
                ]
                for rate in RATES
            }
            means = {rate: statistics.mean(error for error, _ in runs[rate]) for rate in RATES}
            best = min(RATES, key=means.__getitem__)
            errors = found[model, correlation] = [error for error, _ in runs[best]]
            error = np.std(errors, ddof=1) / len(errors) ** 0.5 if len(errors) > 1 else np.nan
            print(
                f"{model:14}  {correlation:4.2f}  {means[best]:17.4f} ± {error:.4f}  "
                f"{runs[best][0][1]:10,}  {best:5g}",
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
