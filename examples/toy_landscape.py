"""Two losses of two parameters: which balancers get out of the valleys, and where do they end?

The toy problem of CAGrad (Liu et al., NeurIPS 2021, figure 1) with the five starting points of
Nash-MTL (Navon et al., ICML 2022). Above theta_2 = 0 each loss has a steep, narrow valley of its own
in which plain averaging is caught; below lies the Pareto front. With --scale 0.1 the first loss is
measured in other units: a method that is blind to scale ends where it did before.

Run: python examples/toy_landscape.py [--balancers cagrad nash_mtl ... | all] [--scale 0.1]
The picture needs matplotlib (pip install matplotlib); without it there is the table alone.
"""

import argparse
import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

import keras_mtl

STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
SHOWN = "equal", "mgda", "pcgrad", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "upgrad"
SIDES = {"L1": 1.0, "L2": -1.0}
TOLERANCE = 0.1  # in the plane of the unscaled losses, whose front is some 28 long
# The valleys' walls have slopes of 1e5: a longer memory than 0.99 would freeze what comes after.
RATE, MEMORY = 0.006, 0.99
EPOCHS, RECORDED = 20, 50  # a point of the trajectory every so many steps


def landscape(theta: Any, side: float) -> Any:
    """The loss of one side, `(..., 2)` to `(..., 1)`; the other's is its mirror image."""
    t1, t2 = theta[..., :1], theta[..., 1:]
    valley = 0.5 * (-t1 - 7.0 * side) - side * ops.tanh(-t2)
    high = ops.log(ops.maximum(ops.abs(valley), 5e-6)) + 6.0
    low = (ops.square(-t1 + 7.0 * side) + 0.1 * ops.square(-t2 - 8.0)) / 10.0 - 20.0
    above, below = ops.maximum(ops.tanh(0.5 * t2), 0.0), ops.maximum(ops.tanh(-0.5 * t2), 0.0)
    return above * high + below * low


def both(theta: np.ndarray) -> np.ndarray:
    """The two unscaled losses at points, `(n, 2)` to `(n, 2)`."""
    sides = [ops.convert_to_numpy(landscape(theta, side)) for side in SIDES.values()]
    return np.concatenate(sides, axis=1)


class Grid:
    """All losses on a fine grid: the Pareto front, and the best of a weighted sum.

    Attributes:
        points: `(n * n, 2)`, theta.
        losses: `(n * n, 2)`, unscaled.
        front: The points that no other beats in both losses.
    """

    def __init__(self, n: int = 2001):
        self.n = n
        self.axis = np.linspace(-10.0, 10.0, n)
        self.points = np.stack(np.meshgrid(self.axis, self.axis), axis=-1).reshape(-1, 2)
        self.losses = both(self.points)
        order = np.lexsort((self.losses[:, 1], self.losses[:, 0]))
        lowest = np.minimum.accumulate(self.losses[order, 1])
        self.front = order[np.r_[True, self.losses[order[1:], 1] < lowest[:-1]]]

    def curve(self) -> np.ndarray:
        """The front as a line, `(m, 2)`: it is one grid point thick or several."""
        t1, t2 = self.points[self.front].T
        columns, which = np.unique(t1, return_inverse=True)
        return np.stack([columns, np.bincount(which, t2) / np.bincount(which)], axis=1)

    def best(self, scale: float) -> str:
        """Where the plain sum of the losses is least, with the first of them scaled."""
        i = np.argmin(scale * self.losses[:, 0] + self.losses[:, 1])
        (t1, t2), (first, second) = self.points[i], self.losses[i]
        return f"theta = ({t1:.2f}, {t2:.2f}), L = ({scale * first:.2f}, {second:.2f})"

    def distance(self, losses: np.ndarray) -> float:
        """How far a pair of losses is from the front's, in the plane of the losses."""
        return float(np.linalg.norm(self.losses[self.front] - losses, axis=1).min())


class Position(keras.layers.Layer):
    """The trunk: it holds theta, and gives it for every row of whatever comes in."""

    def build(self, input_shape: Any) -> None:
        self.theta = self.add_weight(shape=(2,), initializer="zeros", name="theta")

    def call(self, inputs: Any) -> Any:
        return ops.zeros_like(inputs) + self.theta


class Path(keras.callbacks.Callback):
    """Writes down where theta is."""

    def __init__(self, theta: keras.Variable):
        super().__init__()
        self.theta = theta
        self.points = [ops.convert_to_numpy(theta)]

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.points.append(ops.convert_to_numpy(self.theta))


def descend(balancer: str, steps: int, scale: float, shift: float) -> list[np.ndarray]:
    """The trajectory of a balancer from each start, `(points, 2)`; one compiled step for all."""
    inputs = keras.Input((2,), name="nothing")
    trunk = Position()
    theta = trunk(inputs)
    outputs = {name: landscape(theta, side) + shift for name, side in SIDES.items()}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(RATE, beta_2=MEMORY),
        loss=lambda labels, loss: loss,
        loss_weights={"L1": scale},
        balancer=balancer,
        jit_compile=True,
        steps_per_execution=RECORDED,
    )
    model.optimizer.build(model.trainable_variables)
    # Six rows, all alike: some balancers cut each batch in two or three.
    rows = keras_mtl.data.Examples(
        {"nothing": np.zeros((6, 2), "float32")},
        {name: np.zeros((6, 1), "float32") for name in SIDES},
    )
    batches = rows.dataset(6).cache().repeat(-(-steps // EPOCHS))
    variables = [*model.variables, *model.optimizer.variables]
    fresh = [ops.convert_to_numpy(variable) for variable in variables]
    paths = []
    for start in STARTS:
        for variable, value in zip(variables, fresh, strict=True):
            variable.assign(value)
        trunk.theta.assign(start)
        path = Path(trunk.theta)
        model.fit(batches, epochs=EPOCHS, callbacks=[path], verbose=0)
        paths.append(np.array(path.points))
    return paths


def row(balancer: str, paths: list[np.ndarray], grid: Grid) -> str:
    """A line of the table: how many starts reach the front, where each ends, the losses there."""
    ends = np.array([path[-1] for path in paths])
    losses = both(ends)
    there = [grid.distance(pair) <= TOLERANCE for pair in losses]
    cells = "".join(
        f"{f'{t1:.2f}, {t2:.2f}' + (' ' if on else '*'):>15}"
        for (t1, t2), on in zip(ends, there, strict=True)
    )
    mean = "{:8.2f}{:8.2f}".format(*losses[there].mean(axis=0)) if any(there) else ""
    return f"{balancer:16}{sum(there)}/{len(ends)} {cells} {mean}"


def draw(paths: dict[str, list[np.ndarray]], grid: Grid, scale: float, out: str) -> str:
    """Every balancer's trajectories over the contours; says what was drawn, or why nothing was."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "No picture: matplotlib is not installed (pip install matplotlib)."
    columns = min(4, len(paths))
    lines = -(-len(paths) // columns)
    figure = Figure(figsize=(3.2 * columns, 3.3 * lines), layout="constrained")
    every = slice(None, None, 10)
    joint = (grid.losses @ [scale, 1.0]).reshape(grid.n, grid.n)[every, every]
    for i, (balancer, starts) in enumerate(paths.items()):
        axes = figure.add_subplot(lines, columns, i + 1)
        axes.contour(grid.axis[every], grid.axis[every], joint, 25, cmap="viridis", linewidths=0.6)
        axes.plot(*grid.curve().T, color="0.6", linewidth=5, label="Pareto front")
        for path in starts:
            (line,) = axes.plot(*path.T, linewidth=1.4)
            axes.plot(*path[0], "o", color="black", markersize=4)
            axes.plot(
                *path[-1], "*", color=line.get_color(), markeredgecolor="black", markersize=11
            )
        axes.set(title=balancer, xlim=(-10, 10), ylim=(-10, 10))
    figure.axes[0].legend(loc="upper center", fontsize=8)
    figure.suptitle(f"{scale:g} L1 and L2: from dots to stars")
    figure.savefig(out, dpi=110)
    return f"Picture: {out}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--balancers", nargs="+", default=SHOWN, help="names, or 'all'")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--scale", type=float, default=1.0, help="what L1 is multiplied by")
    parser.add_argument("--shift", type=float, default=0.0, help="added to L1 and L2 beforehand")
    parser.add_argument("--out", default="toy_landscape.png")
    arguments = parser.parse_args()
    begun = time.time()
    chosen = keras_mtl.balancing.names() if "all" in arguments.balancers else arguments.balancers
    for balancer in chosen:
        keras_mtl.balancing.get(balancer)  # a name that is not known is told at once
    grid = Grid()
    curve = grid.curve()
    front = " to ".join("({:.2f}, {:.2f})".format(*curve[i]) for i in (0, len(curve) // 2, -1))
    print(f"Grid search, {grid.n} x {grid.n} points: the Pareto front goes from {front}.")
    for scale in dict.fromkeys([1.0, arguments.scale]):
        print(f"Least {scale:g} L1 + L2: {grid.best(scale)}")
    print(
        f"\n{arguments.scale:g} L1 and L2, {arguments.steps} steps of Adam (rate {RATE}, beta_2 {MEMORY})"
        f" from each start.\n* is further than {TOLERANCE} from the front's losses; the losses are"
        " the mean over the ends on the front, unscaled.\n"
    )
    starts = "".join(f"{f'{t1:g}, {t2:g} ':>15}" for t1, t2 in STARTS)
    print(f"{'method':16}front{starts} {'L1':>7} {'L2':>7}")
    paths = {}
    for balancer in chosen:
        if keras_mtl.balancing.get(balancer).needs_positive_losses and arguments.shift < 20:
            print(f"{balancer:16}needs positive losses: --shift 21 adds 21 to both", flush=True)
            continue
        paths[balancer] = descend(balancer, arguments.steps, arguments.scale, arguments.shift)
        print(row(balancer, paths[balancer], grid), flush=True)
    print()
    if paths:
        print(draw(paths, grid, arguments.scale, arguments.out))
    print(f"{time.time() - begun:.0f} seconds in all")


if __name__ == "__main__":
    main()
