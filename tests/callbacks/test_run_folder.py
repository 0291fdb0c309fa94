"""The folder of a run: what is in it, what it goes on with, and what it refuses."""

import hashlib
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
import yaml

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl._run_files import read_run
from keras_mtl._run_lock import is_locked
from keras_mtl.callbacks import EarlyStopping, RunFolder
from keras_mtl.callbacks._checkpoints import Checkpoints


def rows(seed: int = 0) -> data.Examples:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, 4)).astype("float32")
    sold = np.where(rng.random(60) < 0.2, -1, x[:, 1] > 0)
    return data.Examples({"x": x}, {"price": 9 + 3 * x[:, 0], "sold": sold})


def made(balancer="dwa", units=5, **options):
    """A compiled model, as a process that starts again makes it; eager, for it takes few steps."""
    keras.utils.set_random_seed(0)
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[units], dropout=0.3, input_name="x"),
        [tasks.Regression("price"), tasks.Binary("sold")],
    )
    model.compile(keras.optimizers.Adam(0.01, **options), balancer=balancer, run_eagerly=True)
    return model


class Stop(keras.callbacks.Callback):
    """Breaks a run off in the middle of an epoch."""

    def __init__(self, epoch, error=RuntimeError):
        super().__init__()
        self.at, self.error = epoch, error

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 3 * self.at + 2:
            raise self.error("broken off")


def fit(folder, *callbacks, epochs=4, model=None, examples=None, **options):
    model = model or made()
    examples = examples or rows()
    run = RunFolder(folder, data=examples, **options)
    history = model.fit(
        examples.dataset(20, shuffle=True, seed=1),
        validation_data=examples.dataset(60),
        epochs=epochs,
        verbose=0,
        callbacks=[run, *callbacks],
    )
    return model, history, run


def state(model):
    return [keras.ops.convert_to_numpy(v) for v in [*model.weights, *model.optimizer.variables]]


def assert_same(model, other):
    for i, (left, right) in enumerate(zip(state(model), state(other), strict=True)):
        np.testing.assert_array_equal(left, right, err_msg=str(i))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An undisturbed run of four epochs: its folder, model and history."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    model, history, run = fit(folder, seed=0, config={"training": {"epochs": 4}})
    return folder, model, history, run


@pytest.fixture(scope="module")
def broken_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "broken"
    with pytest.raises(RuntimeError, match="broken off"):
        fit(folder, Stop(2), seed=0, config={"training": {"epochs": 4}, "output": {"a": 1}})
    return folder


@pytest.fixture
def broken(broken_once, tmp_path):
    """A run that was broken off in its third epoch."""
    return pathlib.Path(shutil.copytree(broken_once, tmp_path / "broken"))


def test_what_is_told_of_a_run(whole):
    folder, model, history, run = whole
    about = json.loads((folder / "run.json").read_text())
    assert about["format"] == 1 and about["name"] == "whole" and about["status"] == "finished"
    assert about["epochs"] == 4 and about["seconds"] > 0 and about["seed"] == 0
    assert about["created"] <= about["updated"] and about["created"].endswith("+00:00")
    assert about["command"] == sys.argv
    assert about["versions"]["keras"] == keras.__version__
    assert about["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    told = about["data"]["parts"]["train"]
    assert told["rows"] == 60 and told["inputs"] == {"x": {"shape": [4], "dtype": "float32"}}
    assert told["labels"] == {"price": 60, "sold": int((rows().labels["sold"] >= 0).sum())}
    assert about["model"]["tasks"]["price"] == {
        "kind": "Regression", "main_metric": "rmse", "higher_is_better": False,
    }  # fmt: skip
    assert about["model"]["parameters"] == {"shared": 25, "price": 6, "sold": 6, "total": 37}
    assert about["model"]["balancer"] == "DWA" and about["model"]["loss_weights"]["sold"] == 1
    assert about["model"]["optimizer"]["class_name"] == "Adam"
    assert yaml.safe_load((folder / "config.yaml").read_text()) == {"training": {"epochs": 4}}
    kept = json.loads((folder / "history.json").read_text())
    assert kept == {"epoch": [0, 1, 2, 3], **history.history}
    loaded = keras.models.load_model(folder / "model.keras")
    for left, right in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not (folder / "checkpoints").exists()
    run.add(report=keras_mtl.evaluate(model, rows()), export="saved/1")
    assert read_run(folder).about["export"] == "saved/1"
    assert read_run(folder).scores["tasks"]["price"]["rmse"] > 0


def test_a_broken_run_goes_on_to_the_same_end(whole, broken):
    """In the same process here; tests/test_resume.py kills processes."""
    assert read_run(broken).status == "failed"
    assert read_run(broken).about["failure"] == "RuntimeError: broken off"
    assert read_run(broken).history["epoch"] == [0, 1]
    created = read_run(broken).about["created"]
    # Where output goes is no part of a run, and may be elsewhere now.
    model, history, _ = fit(broken, config={"training": {"epochs": 4}, "output": {"a": 2}})
    assert history.epoch == [0, 1, 2, 3]
    assert history.history == whole[2].history
    assert_same(model, whole[1])
    about = read_run(broken).about
    assert about["status"] == "finished" and about["failure"] is None and about["epochs"] == 4
    # What this call did not tell again is kept.
    assert about["created"] == created and about["seed"] == 0
    assert yaml.safe_load((broken / "config.yaml").read_text())["output"] == {"a": 2}
    # The next `fit` begins where it is told to.
    more = model.fit(rows().dataset(20), epochs=1, verbose=0)
    assert more.epoch == [0]


def test_states_of_other_callbacks_go_on(tmp_path):
    class Own(keras.callbacks.Callback):
        """Of a user: counts, with a limit that is a setting."""

        def __init__(self, limit):
            super().__init__()
            self.limit, self.seen, self.means, self.drawn = limit, [], {}, []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append((epoch, self.limit, None))
            self.drawn.append(random.random() + np.random.random())
            self.means[epoch] = np.float32(logs["loss"])

    def watching(limit):
        return [
            Own(limit),
            keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9),
            keras.callbacks.EarlyStopping(
                "loss", patience=3, min_delta=9, restore_best_weights=True
            ),
            EarlyStopping("val_price_loss", patience=9),
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        ]

    def averaged():
        return made(use_ema=True, ema_momentum=0.5)

    undisturbed = watching(1)
    model, history, _ = fit(tmp_path / "whole", *undisturbed, epochs=6, model=averaged())
    assert history.epoch == [0, 1, 2, 3]  # by keras.callbacks.EarlyStopping
    with pytest.raises(RuntimeError):
        fit(tmp_path / "broken", *watching(1), Stop(2), epochs=6, model=averaged())
    resumed = watching(2)
    again, second, _ = fit(tmp_path / "broken", *resumed, epochs=6, model=averaged())
    assert second.history == history.history and len(set(history.history["learning_rate"])) > 1
    assert_same(again, model)
    own, other = resumed[0], undisturbed[0]
    assert own.seen == [(0, 1, None), (1, 1, None), (2, 2, None), (3, 2, None)]
    assert own.drawn == other.drawn and len(set(own.drawn)) == 4
    assert own.limit == 2  # the setting of now, for it was no state
    assert own.means == other.means and isinstance(own.means[0], np.float32)
    assert resumed[3].best_epoch == undisturbed[3].best_epoch
    np.testing.assert_equal(resumed[3]._weights, undisturbed[3]._weights)


def test_a_run_that_was_killed_when_it_had_stopped_trains_no_more(tmp_path, monkeypatch):
    """By early stopping, before the best weights were brought back and the model was written."""
    stop = EarlyStopping("loss", patience=1, min_delta=9)
    whole, history, _ = fit(tmp_path / "whole", stop, epochs=9)
    assert history.epoch == [0, 1]

    def die(self, logs=None):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "on_train_end", die)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "broken", EarlyStopping("loss", patience=1, min_delta=9), epochs=9)
    assert read_run(tmp_path / "broken").status == "stopped"
    model, again, _ = fit(
        tmp_path / "broken", EarlyStopping("loss", patience=1, min_delta=9), epochs=9
    )
    assert again.history == history.history
    assert_same(model, whole)
    assert (tmp_path / "broken" / "model.keras").exists()


def damage(path, how):
    content = path.read_bytes()
    middle = len(content) // 2
    wrong = bytes([content[middle] ^ 1])
    path.write_bytes({
        "cut short": content[:middle],
        "empty": b"",
        "one bit": content[:middle] + wrong + content[middle + 1 :],
    }[how])  # fmt: skip


@pytest.mark.parametrize("how", ["cut short", "empty", "one bit"])
def test_a_damaged_checkpoint_is_noticed_and_passed_over(broken, how, caplog):
    kept = sorted((broken / "checkpoints").iterdir())
    assert [path.name[:11] for path in kept] == ["epoch-00001", "epoch-00002"]
    digest = hashlib.sha256(kept[1].read_bytes()).hexdigest()
    assert kept[1].name == f"epoch-00002.{digest[:16]}.npz"
    with np.load(kept[1], allow_pickle=False) as arrays:  # as any reader of NumPy's files does
        assert {"state", "0"} < set(arrays.files)
    checkpoints = Checkpoints(broken / "checkpoints")
    assert checkpoints.newest().state["epochs"] == 2 and not caplog.messages
    damage(kept[1], how)
    assert checkpoints.newest().state["epochs"] == 1
    assert f"{kept[1]} of 2 epochs is damaged" in caplog.text
    damage(kept[0], how)
    assert checkpoints.newest() is None and "the run begins anew" in caplog.text


def test_a_run_goes_on_from_the_checkpoint_before(broken, whole, caplog):
    damage(max((broken / "checkpoints").iterdir()), "cut short")
    with caplog.at_level(logging.INFO, "keras_mtl"):
        model, history, _ = fit(broken)
    assert "goes on behind 1 epochs" in caplog.text
    assert history.history == whole[2].history
    assert_same(model, whole[1])


def test_without_a_good_checkpoint_a_run_begins_anew(broken, whole):
    for path in (broken / "checkpoints").iterdir():
        damage(path, "cut short")
    # Not even other data are refused, for nothing is gone on with.
    _, history, _ = fit(broken, epochs=1, examples=rows(seed=5))
    assert history.epoch == [0] and read_run(broken).about["epochs"] == 1


def test_a_finished_run_is_refused_and_may_be_begun_anew(broken, tmp_path):
    fit(broken, epochs=3)  # The third epoch, behind two.
    before = (broken / "run.json").read_bytes()
    with pytest.raises(ValueError, match=r"finished, after 3 epochs.*resume=False"):
        fit(broken)
    assert (broken / "run.json").read_bytes() == before
    (broken / "notes.txt").write_text("of the user")
    _, history, _ = fit(broken, epochs=1, resume=False)
    assert history.epoch == [0] and read_run(broken).about["epochs"] == 1
    assert not (broken / "config.yaml").exists() and (broken / "notes.txt").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"examples": rows(seed=5)}, "other data: their fingerprint is .*resume=False"),
        ({"seed": 3}, "begun with the seed 0, and `seed` now is 3"),
        ({"config": {"training": {"epochs": 5}}}, "configuration: training.epochs differ"),
        ({"model": "wider"}, r"of another model: .* shape \(4, 5\) .*shape \(4, 6\)"),
        ({"model": "mgda"}, "of another model: its checkpoint has .* variables"),
    ],
)
def test_a_run_does_not_go_on_as_another(broken, options, message):
    if "model" in options:
        wide = options["model"] == "wider"
        options = {"model": made(units=6) if wide else made(balancer="mgda")}
    kept = {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=message):
        fit(broken, **options)
    assert {path: path.read_bytes() for path in broken.rglob("*") if path.is_file()} == kept


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
    program = textwrap.dedent(
        """
        import fcntl, os, sys
        file = os.open(sys.argv[1] + "/.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(file, fcntl.LOCK_EX)
        sys.stdout.write("held\\n")
        sys.stdout.flush()
        sys.stdin.read()
        """
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert other.stdout.readline() == b"held\n"
    model = made()
    assert is_locked(tmp_path)
    with pytest.raises(ValueError, match="Another process trains in"):
        fit(tmp_path, epochs=1, model=model)
    other.send_signal(signal.SIGKILL)
    other.wait()
    for pipe in (other.stdin, other.stdout):
        pipe.close()
    assert not is_locked(tmp_path)
    fit(tmp_path, epochs=1, model=model)
    assert read_run(tmp_path).status == "finished"


def test_a_folder_that_cannot_be_written_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("no folder")
    model = made()
    for folder in (tmp_path / "file" / "run", "/proc/run"):
        with pytest.raises(OSError, match=r"run's folder .* cannot be written .*choose another"):
            fit(folder, model=model)
    assert model.optimizer.iterations == 0


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path, whole):
    """The kernel refuses what is written beyond a size, half-way, as a disk that is full does."""
    program = textwrap.dedent(
        """
        import os, pathlib, resource, signal, sys
        from tests.callbacks import test_run_folder as made
        import keras

        class Full(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 1:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            made.fit(sys.argv[1], Full(), seed=0)
        except OSError as error:
            sys.stdout.write(f"{error.errno} {error}")
        """
    )
    folder = tmp_path / "run"
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        capture_output=True, text=True, check=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    assert done.stdout.startswith("27 ") and "(File too large)" in done.stdout, done
    assert f"checkpoint of 2 epochs could not be written to {folder / 'checkpoints'}" in done.stdout
    assert "the checkpoint of 1 epochs is kept, and the run goes on from it" in done.stdout
    assert [p.name[:11] for p in (folder / "checkpoints").iterdir()] == ["epoch-00001"]
    assert read_run(folder).about["failure"].startswith("OSError: ")
    assert read_run(folder).history["epoch"] == [0]
    model, history, _ = fit(folder)
    assert history.history == whole[2].history
    assert_same(model, whole[1])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_model_that_cannot_be_written_at_the_end_is_written_by_the_next_start(tmp_path, whole):
    class Full(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            (tmp_path / f".{os.getpid()}.model.keras").symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"model.keras could not be written .*checkpoints are kept"):
        fit(tmp_path, Full())
    assert not list(tmp_path.glob("*.keras")) and not list(tmp_path.glob(".*.keras"))
    assert read_run(tmp_path).status == "failed"
    model, history, _ = fit(tmp_path)
    assert history.history == whole[2].history
    assert_same(model, whole[1])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


def test_what_is_no_data_and_no_configuration_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match=r"has a ndarray as 'train'; expected keras_mtl.data.Examples"
    ):
        RunFolder(tmp_path, data=np.zeros(3))
    with pytest.raises(TypeError, match="is a int; expected the path of a YAML file"):
        RunFolder(tmp_path, config=3)


def test_data_sets_are_described_without_a_fingerprint(tmp_path):
    run = RunFolder(tmp_path, data={"train": rows().dataset(20), "valid": rows()})
    made().fit(rows().dataset(20), epochs=1, verbose=0, callbacks=[run])
    told = read_run(tmp_path).about["data"]
    assert told["fingerprint"] is None and told["parts"]["valid"]["rows"] == 60
    assert told["parts"]["train"]["inputs"] == {"x": {"shape": [4], "dtype": "float32"}}
    assert "TensorSpec(shape=(None, 4)" in told["parts"]["train"]["element_spec"]
