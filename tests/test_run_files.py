"""A run's folder is read back as it was written, and what is damaged is told."""

import json
import logging
import math
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from keras_mtl import _run_files as run_files

ABOUT = {"format": 1, "name": "first", "status": "finished", "created": "2026-01-02T00:00:00Z"}


def make(folder, about=ABOUT, history=None, scores=None):
    run_files.write_json(folder / "run.json", about)
    if history is not None:
        run_files.write_json(folder / "history.json", history)
    if scores is not None:
        run_files.write_json(folder / "scores.json", scores)
    return folder


def test_a_run_is_read_back(tmp_path):
    history = {"epoch": [0, 1], "loss": [0.1 + 0.2, math.inf], "val_loss": [1e-300]}
    folder = make(tmp_path / "a", history=history, scores={"tasks": {"é": {"auc": 0.5}}})
    (folder / "config.yaml").write_text("data: 1\n")
    run = run_files.read_run(str(folder))
    assert run.path == folder and run.about == ABOUT and run.name == "first"
    assert run.status == "finished"
    assert run.scores == {"tasks": {"é": {"auc": 0.5}}}
    assert run.history["epoch"] == [0, 1] and run.history["val_loss"] == [1e-300]
    # To the last bit, and NaN for what no JSON reader but Python's would take.
    assert run.history["loss"][0] == 0.30000000000000004 and math.isnan(run.history["loss"][1])
    assert run.config_file == folder / "config.yaml"
    assert run.model_file is None and run.logs is None


def test_files_are_json_for_every_reader(tmp_path):
    path = run_files.write_json(tmp_path / "x.json", {"a": [math.nan, (1.5, -math.inf)]})

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(path.read_text(), parse_constant=refuse) == {"a": [None, [1.5, None]]}


def test_runs_are_listed_oldest_first_and_damaged_ones_are_told(tmp_path, caplog):
    make(tmp_path / "b", {**ABOUT, "created": "2026-01-01T00:00:00Z"})
    make(tmp_path / "a")
    make(tmp_path / "c")
    (tmp_path / "c" / "run.json").write_text('{"format": 1, "sta')
    (tmp_path / "logs").mkdir()
    (tmp_path / "notes.txt").write_text("no run")
    with caplog.at_level(logging.WARNING, "keras_mtl"):
        assert [run.path.name for run in run_files.list_runs(tmp_path)] == ["b", "a"]
    assert len(caplog.messages) == 1 and str(tmp_path / "c" / "run.json") in caplog.messages[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.json", '{"format": 1', "run.json is damaged"),
        ("run.json", "[1]", "run.json is damaged .*no JSON object"),
        ("run.json", '{"format": 7, "status": "running"}', "is of format 7.*reads format 1"),
        ("run.json", '{"format": 1, "status": "done"}', "'done'.*expected one of running"),
        ("history.json", "\0\0\0", "history.json is damaged.*delete it"),
        ("history.json", '{"epoch": [0], "loss": 3}', "'loss' where a list"),
        ("history.json", '{"loss": [1.0]}', "'no epoch' where a list"),
        ("scores.json", "{", "scores.json is damaged.*judge the model again"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, message):
    make(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        run_files.read_run(tmp_path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is not the folder of a run"):
        run_files.read_run(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"There is no folder .*nowhere"):
        run_files.list_runs(tmp_path / "nowhere")


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path):
    """The kernel's own limit on the size of files, as a full disk would: write(2) fails half-way."""
    path = run_files.write_text(tmp_path / "x.json", "before")
    program = textwrap.dedent(
        """
        import resource, signal, sys
        from keras_mtl import _run_files
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        for name in ("x.json", "new.json"):
            try:
                _run_files.write_text(sys.argv[1] + "/" + name, "after" * 10_000)
            except OSError as error:
                sys.stdout.write(f"{error.errno} {error}\\n")
        """
    )
    # Only this file: the program needs no TensorFlow.
    stub = tmp_path / "stub" / "keras_mtl"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text("")
    (stub / "_run_files.py").symlink_to(pathlib.Path(run_files.__file__))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(stub.parent), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path, text=True, capture_output=True, check=True,
    )  # fmt: skip
    first, second = done.stdout.splitlines()
    assert first.startswith("27 ") and "x.json could not be written (File too large)" in first
    assert "the one before is kept" in first and "nothing is left of it" in second
    assert path.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["stub", "x.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_told_by_name(tmp_path, monkeypatch):
    (tmp_path / f".x.json.{os.getpid()}").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"x.json could not be written \(No space left on device\)"):
        run_files.write_text(tmp_path / "x.json", "text")
    assert list(tmp_path.iterdir()) == []
