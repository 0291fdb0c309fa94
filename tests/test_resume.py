"""A run that is killed and started again ends where it would have ended, to the last bit."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from keras_mtl._run_files import read_run

# Trains once for each line that it reads, in a process of its own that may be killed, so that Python
# and TensorFlow are imported once.
SERVER = textwrap.dedent(
    """
    import json, os, signal, sys
    import keras, numpy as np
    import keras_mtl
    from keras_mtl import data, encoders, tasks

    class Die(keras.callbacks.Callback):
        def __init__(self, steps):
            super().__init__()
            # Not a number, which would be a state that a resumed run brings back.
            self.left = iter(range(steps - 1))

        def on_train_batch_end(self, batch, logs=None):
            if next(self.left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

    class DieWriting:
        def __init__(self, calls):
            self.left = calls

        def __call__(self, frame, event, arg):
            name = frame.f_code.co_filename
            if name.endswith(("_checkpoints.py", "_run_files.py", "zipfile.py", "_format_impl.py")):
                self.left -= 1
                if not self.left:
                    os.kill(os.getpid(), signal.SIGKILL)

    def train(folder, keep, steps, calls):
        keras.utils.set_random_seed(0)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(200, 4)).astype("float32")
        labels = {
            "price": 100 + 30 * x[:, 0] + rng.normal(size=200) * 60,
            "sold": np.where(rng.random(200) < 0.2, -1, x[:, 1] > rng.normal(size=200)),
        }
        rows = data.Examples({"features": x}, labels)
        train, valid = rows.select(np.arange(150)), rows.select(np.arange(150, 200))
        model = keras_mtl.build_model(
            encoders.Dense(4, units=[8], dropout=0.2), [tasks.Regression("price"), tasks.Binary("sold")]
        )
        model.compile(keras.optimizers.Adam(0.004), balancer="moco", loss_weights={"sold": 0.5})
        if keep == "run":
            kept = keras_mtl.callbacks.RunFolder(folder + "/run", data=train, seed=0)
        else:
            kept = keras.callbacks.BackupAndRestore(folder + "/backup")
        stop = keras_mtl.callbacks.EarlyStopping("val_price_loss", patience=5)
        watching = [stop, keras.callbacks.ReduceLROnPlateau(patience=2, factor=0.5)]
        if keep == "run":
            watching.append(keras.callbacks.EarlyStopping(patience=9, restore_best_weights=True))
        if calls:
            sys.setprofile(DieWriting(calls))
        history = model.fit(
            train.dataset(15, shuffle=True, seed=3),
            validation_data=valid.dataset(50),
            epochs=30 if keep == "run" else 4,
            verbose=0,
            callbacks=[kept, *watching, *([Die(steps)] if steps else [])],
        )
        state = [*model.weights, *model.optimizer.variables]
        np.savez(folder + "/end.npz", *[keras.ops.convert_to_numpy(v) for v in state])
        told = {"epoch": history.epoch, "history": history.history, "best": stop.best_epoch}
        with open(folder + "/told.json", "w") as file:
            json.dump(told, file)

    for line in sys.stdin:
        child = os.fork()
        if not child:
            train(*json.loads(line))
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)
    """
)


@pytest.fixture(scope="module")
def train():
    """A function that trains in a process of its own, and returns the signal that ended it, or 0."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(folder: pathlib.Path, keep: str, steps: int = 0, calls: int = 0) -> int:
        folder.mkdir(exist_ok=True)
        server.stdin.write(json.dumps([str(folder), keep, steps, calls]) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    yield ask
    server.stdin.close()
    assert server.wait(60) == 0
    server.stdout.close()


def assert_same_end(whole: pathlib.Path, broken: pathlib.Path) -> None:
    expected, got = np.load(whole / "end.npz"), np.load(broken / "end.npz")
    assert set(expected) == set(got) and len(set(expected)) > 20
    for name in expected:
        np.testing.assert_array_equal(expected[name], got[name], err_msg=name)


@pytest.mark.slow
def test_a_killed_run_with_the_backup_of_keras_ends_with_the_same_weights(tmp_path, train):
    """SIGKILL in the third epoch; shuffle order, dropout, balancer and optimizer all go on."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, "backup") == 0
    assert train(broken, "backup", steps=25) == signal.SIGKILL
    assert not (broken / "end.npz").exists()
    assert train(broken, "backup") == 0
    assert_same_end(whole, broken)


@pytest.mark.slow
def test_a_run_killed_at_ten_random_points_ends_as_an_undisturbed_one(tmp_path, train):
    """In steps and while files are written; every start goes on where the last one was killed."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train(whole, "run") == 0
    rng = random.Random(1)
    points = [{"steps": rng.randint(5, 30)} for _ in range(5)]
    points += [{"calls": rng.randint(1_000, 60_000)} for _ in range(5)]
    rng.shuffle(points)
    reached, halves = [], 0
    for point in points:
        assert train(broken, "run", **point) == signal.SIGKILL, point
        assert not (broken / "told.json").exists()
        # What is told of a run is whole at any time.
        run = read_run(broken / "run")
        assert run.status == "running"
        assert run.history["epoch"] == list(range(len(run.history["epoch"])))
        reached.append(len(run.history["epoch"]))
        halves += len(list((broken / "run").rglob(".*.[0-9]*")))
    assert reached == sorted(reached) and len(set(reached)) >= 4 and halves > 0
    assert train(broken, "run") == 0
    assert_same_end(whole, broken)
    told = [json.loads((folder / "told.json").read_text()) for folder in (whole, broken)]
    assert told[0] == told[1]
    # Early stopping ended it, by its count of epochs over several of the processes.
    epochs = len(told[0]["epoch"])
    assert 12 <= epochs < 30 and told[0]["best"]["overall"] == epochs - 6
    assert len(set(told[0]["history"]["learning_rate"])) > 1
    files = [
        sorted(p.name for p in (folder / "run").iterdir() if p.name[0] != ".")
        for folder in (whole, broken)
    ]
    assert files[0] == files[1] == ["history.json", "model.keras", "run.json"]
    assert read_run(broken / "run").history == read_run(whole / "run").history
    assert not list((broken / "run").rglob(".*.[0-9]*"))
