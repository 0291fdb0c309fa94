"""Runs of W&B's offline mode, read back from the log that `wandb sync` would send."""

import json
import pathlib
import struct
import zlib

import keras
import numpy as np
import pytest

from keras_mtl.callbacks import WandB
from tests.callbacks._tracked import expected, fitted, model_of_two, rows

wandb = pytest.importorskip("wandb")


def records(folder):
    """The records of an offline run: a LevelDB log of blocks of 32 KiB, behind seven bytes."""
    from wandb.proto import wandb_internal_pb2

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    content, at, waiting = file.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        room = 32768 - at % 32768
        if room < 7:  # what is left of a block is filled with zeros
            at += room
            continue
        check, length, kind = struct.unpack("<IHB", content[at : at + 7])
        part = content[at + 7 : at + 7 + length]
        assert zlib.crc32(bytes([kind]) + part) == check
        at += 7 + length
        waiting += part
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(waiting)
            waiting = b""


def key_of(item):
    return item.key or "/".join(item.nested_key)


class Read:
    """What is in the log of a run."""

    def __init__(self, folder):
        # Only with the end of W&B's service is its log on disk for certain.
        wandb.teardown()
        found = list(records(folder))
        rows = [r.history.item for r in found if r.WhichOneof("record_type") == "history"]
        self.history = [{key_of(i): json.loads(i.value_json) for i in row} for row in rows]
        self.config = {}
        for record in found:
            if record.WhichOneof("record_type") in ("run", "config"):
                part = record.run.config if record.HasField("run") else record.config
                self.config.update({key_of(i): json.loads(i.value_json) for i in part.update})
        self.runs = [r.run for r in found if r.WhichOneof("record_type") == "run"]
        self.artifacts = [
            r.artifact for r in found if r.WhichOneof("record_type") == "artifact"
        ] + [
            r.request.log_artifact.artifact
            for r in found
            if r.request.WhichOneof("request_type") == "log_artifact"
        ]
        self.exits = [r.exit.exit_code for r in found if r.WhichOneof("record_type") == "exit"]


@pytest.fixture(scope="module", autouse=True)
def _offline(tmp_path_factory):
    """W&B without network, and with all that it writes in a folder of the tests."""
    home = tmp_path_factory.mktemp("wandb_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
            patch.setenv(f"WANDB_{name}_DIR", str(home / name.lower()))
        yield
    wandb.teardown()


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "report.html").write_text("<p>good</p>")
    callback = WandB(
        "digits",
        name="first",
        config={"data": {"rows": 16}},
        artifacts=["model", folder / "report.html"],
        dir=str(folder),
        tags=["speech"],
    )
    model, history, weights = fitted([callback])
    assert wandb.run is None, "the run ended with training"
    return Read(folder), model, history, weights


def test_curves_are_those_of_the_history_by_task(tracked):
    read, _, history, weights = tracked
    told = expected(history, weights)
    assert [row["epoch"] for row in read.history] == [0, 1]
    for key, values in told.items():
        assert [row[key] for row in read.history] == pytest.approx(values, rel=1e-5), key
    keys = {key for row in read.history for key in row if not key.startswith("_")}
    assert keys == {*told, "epoch"}


def test_the_configuration_tells_the_model_and_what_was_given(tracked):
    read, _, _, _ = tracked
    (run,) = {r.run_id: r for r in read.runs}.values()
    assert (run.project, run.display_name, list(run.tags)) == ("digits", "first", ["speech"])
    model = read.config["model"]
    assert model["tasks"]["kind"]["kind"] == "MultiClass"
    assert model["parameters"]["shared"] == 20 and model["parameters"]["kind"] == 12
    assert model["balancer"] == "RLW" and model["loss_weights"] == {"val_price": 8.0, "kind": 1.0}
    assert model["optimizer"]["class_name"] == "SGD"
    assert read.config["training"]["epochs"] == 2 and read.config["data"] == {"rows": 16}
    assert read.exits == [0]


def test_artifacts_are_the_model_as_it_ended_and_the_file(tracked):
    read, model, _, _ = tracked
    kept = {a.type: a for a in read.artifacts}
    assert set(kept) == {"model", "file"}
    (entry,) = kept["model"].manifest.contents
    assert entry.path == "model.keras" and kept["file"].manifest.contents[0].path == "report.html"
    x, _ = rows()
    copy = pathlib.Path(entry.local_path).with_suffix(".keras")
    copy.write_bytes(pathlib.Path(entry.local_path).read_bytes())
    loaded = keras.models.load_model(copy)
    assert np.array_equal(loaded.predict(x, verbose=0)["kind"], model.predict(x, verbose=0)["kind"])


def test_a_run_ends_as_failed_with_training_that_failed(tmp_path):
    def breaks(epoch, logs):
        raise RuntimeError("no room")

    callbacks = [
        WandB(dir=str(tmp_path)), keras.callbacks.LambdaCallback(on_epoch_end=breaks)
    ]  # fmt: skip
    with pytest.raises(RuntimeError, match="no room"):
        model_of_two().fit(*rows(), batch_size=8, verbose=0, callbacks=callbacks)
    assert wandb.run is None
    read = Read(tmp_path)
    assert read.exits == [1] and not read.artifacts


def test_a_run_that_is_there_is_used_and_left_open(tmp_path):
    mine = wandb.init(project="mine", dir=str(tmp_path), config={"model": "?", "note": "kept"})
    mine.log({"before": 1})
    callback = WandB("another", artifacts=[])
    _, history, _ = fitted([callback], epochs=1)
    assert wandb.run is mine
    mine.log({"after": 2})
    mine.finish()
    read = Read(tmp_path)
    assert {r.project for r in read.runs} == {"mine"}
    assert read.config["note"] == "kept" and read.config["model"]["balancer"] == "RLW"
    assert read.history[1]["kind/loss"] == pytest.approx(history["kind_loss"][0])
    assert read.history[-1]["after"] == 2 and read.exits == [0]


def test_arguments_that_cannot_be():
    with pytest.raises(TypeError, match=r"artifacts=\['model'\]"):
        WandB(artifacts="model")
    with pytest.raises(TypeError, match="a dict as `config`"):
        WandB(config="run.yaml")
