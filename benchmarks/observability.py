"""What watching a training costs: the balancer's record, the guard against NaN, and callbacks.

Inside of the compiled step, models that differ in what they watch train the same batches in turn,
epoch by epoch, in one process; printed are the medians of the ratio of neighbouring epochs. Callbacks
are timed hook by hook in one `fit`; printed is their share of the rest of it, per epoch, without what
they do once when training begins.

Run: python benchmarks/observability.py
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from steps import BATCH, RATE, network, rows

import keras_mtl
from keras_mtl import balancing, callbacks

GUARDS = ("ignore", "raise", "skip")


class Unwatched:
    """A record that keeps nothing."""

    def reset(self) -> None:
        """Does nothing."""

    def add_weights(self, *given: Any) -> None:
        """Does nothing."""

    def add_gramian(self, *given: Any, **more: Any) -> None:
        """Does nothing."""

    def summary(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def model_of(
    k: int, balancer: str | None, *, guard: str = "ignore", jit: bool = True, record: bool = True
) -> keras_mtl.MultiTaskModel:
    """A network with K heads, compiled."""
    model, losses = network(keras_mtl.MultiTaskModel, "mlp", k)
    given = None if balancer is None else balancing.get(balancer)
    model.compile(
        keras.optimizers.Adam(RATE),
        loss=losses,
        balancer=given,
        on_nonfinite=guard,
        jit_compile=jit,
    )
    if given is not None and not record:
        given.record = Unwatched()
    return model


def in_turn(
    models: dict[str, keras_mtl.MultiTaskModel], k: int, steps: int, rounds: int
) -> dict[str, list[float]]:
    """Milliseconds a step of each model, epoch by epoch, all models within a round."""
    x, y = rows("mlp", k, steps)
    x, y = x.reshape(-1, *x.shape[2:]), {n: v.reshape(-1, *v.shape[2:]) for n, v in y.items()}
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).cache().prefetch(2)
    spent: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(rounds + 1):
        for name in sorted(models, key=lambda n: hash((n, turn))):
            begun = time.perf_counter()
            models[name].fit(data, epochs=1, verbose=0)
            if turn:
                spent[name].append(1000 * (time.perf_counter() - begun) / steps)
    return spent


def ratio(spent: dict[str, list[float]], name: str, base: str) -> str:
    found = [one / other for one, other in zip(spent[name], spent[base], strict=True)]
    low, mid, high = statistics.quantiles(found, n=4) if len(found) > 1 else (found * 3)
    return f"{mid:6.3f}  ({low:.3f} to {high:.3f})"


class Timed(keras.callbacks.Callback):
    """Another callback, and the seconds that its hooks took of batches and epochs."""

    def __init__(self, inner: keras.callbacks.Callback):
        super().__init__()
        self.inner = inner
        self.begin = self.running = 0.0

    def set_model(self, model: Any) -> None:
        super().set_model(model)
        self.inner.set_model(model)

    def set_params(self, params: Any) -> None:
        super().set_params(params)
        self.inner.set_params(params)

    def _clocked(self, hook: Callable[..., None], *given: Any) -> float:
        begun = time.perf_counter()
        hook(*given)
        return time.perf_counter() - begun

    def on_train_begin(self, logs: Any = None) -> None:
        self.begin += self._clocked(self.inner.on_train_begin, logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.running += self._clocked(self.inner.on_epoch_begin, epoch, logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.running += self._clocked(self.inner.on_train_batch_begin, batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.running += self._clocked(self.inner.on_train_batch_end, batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.running += self._clocked(self.inner.on_epoch_end, epoch, logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.begin += self._clocked(self.inner.on_train_end, logs)


def cost_of_callback(
    made: keras.callbacks.Callback, k: int, balancer: str | None, steps: int, epochs: int
) -> tuple[float, float, float]:
    """Milliseconds of an epoch within the callback and without it, and once for the whole run."""
    model = model_of(k, balancer, guard="raise")
    x, y = rows("mlp", k, steps)
    x, y = x.reshape(-1, *x.shape[2:]), {n: v.reshape(-1, *v.shape[2:]) for n, v in y.items()}
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH).cache().prefetch(2)
    # Compiled beforehand: that is a matter of minutes for some models, and of no callback.
    model.fit(data.take(1), verbose=0)
    timed = Timed(made)
    begun = time.perf_counter()
    model.fit(data, epochs=epochs, verbose=0, callbacks=[timed])
    rest = time.perf_counter() - begun - timed.running - timed.begin
    return tuple(1000 * s for s in (timed.running / epochs, rest / epochs, timed.begin))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--steps", type=int, default=200, help="Steps in an epoch of the first part."
    )
    parser.add_argument("--epoch-steps", type=int, default=1000, help="The same, of the second.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tasks", type=int, default=4)
    settings = parser.parse_args()
    k = settings.tasks
    print(f"Inside of the step, {k} tasks: times the step that does not watch (quartiles)")
    for jit in (True, False):
        told = "XLA" if jit else "no XLA"
        guarded = {guard: model_of(k, None, guard=guard, jit=jit) for guard in GUARDS}
        spent = in_turn(guarded, k, settings.steps, settings.rounds)
        for guard in GUARDS[1:]:
            print(
                f"{f'on_nonfinite={guard!r}, {told}':42} {ratio(spent, guard, 'ignore')}",
                flush=True,
            )
        for name in ("uncertainty", "mgda"):
            watched = {
                str(record): model_of(k, name, jit=jit, record=record) for record in (True, False)
            }
            spent = in_turn(watched, k, settings.steps, settings.rounds)
            line = f"the record of {name}, {told}"
            print(f"{line:42} {ratio(spent, 'True', 'False')}", flush=True)
    print(f"\nCallbacks, epochs of {settings.epoch_steps} steps: milliseconds, and their share")
    print(f"{'':42} {'an epoch':>9} {'the rest':>9} {'share':>7} {'once':>7}")
    for name in (None, "mgda"):
        with tempfile.TemporaryDirectory() as folder:
            made = {
                "TensorBoard": callbacks.TensorBoard(Path(folder) / "logs"),
                "RunFolder": callbacks.RunFolder(Path(folder) / "run"),
            }
            for kind, callback in made.items():
                within, rest, once = cost_of_callback(
                    callback, k, name, settings.epoch_steps, settings.epochs
                )
                line = f"{kind}, {name or 'no balancer'}"
                print(
                    f"{line:42} {within:9.1f} {rest:9.1f} {within / rest:7.2%} {once:7.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    np.set_printoptions(precision=3)
    main()
