"""Version folders: numbered, whole, and never in each other's way."""

import os
import pathlib
import platform
import subprocess
import sys
import threading
import time

import pytest

from keras_mtl.export import versions
from keras_mtl.export._versions import write_version


def written(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").write_text("whole")


def test_versions_are_numbered_from_one_on(tmp_path):
    folder = tmp_path / "not" / "there" / "yet"
    assert [write_version(folder, written).name for _ in range(3)] == ["1", "2", "3"]
    assert versions(folder) == [1, 2, 3]
    assert sorted(p.name for p in folder.iterdir()) == ["1", "2", "3"]


def test_numbers_count_as_numbers_not_as_text(tmp_path):
    for name in ("9", "10"):
        (tmp_path / name).mkdir()
    assert write_version(tmp_path, written).name == "11"


def test_a_number_that_a_file_or_another_spelling_holds_is_taken(tmp_path):
    (tmp_path / "1").write_text("a file")
    (tmp_path / "007").mkdir()
    (tmp_path / "README.md").write_text("mine")
    assert write_version(tmp_path, written).name == "8"
    assert versions(tmp_path) == [8]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_version_can_be_read_by_a_server_of_another_user(tmp_path):
    version = write_version(tmp_path, written)
    assert version.stat().st_mode & 0o555 == 0o555 & ~_umask()


@pytest.mark.parametrize("error", [RuntimeError("half way"), KeyboardInterrupt()])
def test_an_interrupted_writer_leaves_nothing(tmp_path, error):
    def half(path):
        written(path)
        assert [p.name[0] for p in tmp_path.iterdir()] == ["."], "hidden while it is written"
        raise error

    with pytest.raises(type(error)):
        write_version(tmp_path, half)
    assert list(tmp_path.iterdir()) == []


def test_many_writers_at_once_get_a_number_each(tmp_path):
    names, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(5):
            names.append(int(write_version(tmp_path, written).name))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == list(range(1, 41)) == versions(tmp_path)
    assert all((tmp_path / str(n) / "saved_model.pb").read_text() == "whole" for n in names)


def test_old_versions_are_pruned_and_nothing_else(tmp_path):
    (tmp_path / "notes").mkdir()
    for _ in range(4):
        write_version(tmp_path, written)
    write_version(tmp_path, written, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["4", "5", "notes"]


def test_what_a_killed_export_left_is_removed_and_what_another_writes_is_not(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    here = platform.node().replace(os.sep, "_") or "host"
    killed = tmp_path / f".exporting-{dead.pid}-{here}-abc"
    running = tmp_path / f".exporting-{os.getpid()}-{here}-abc"
    elsewhere = tmp_path / f".exporting-{dead.pid}-other.{here}-abc"
    long_ago = tmp_path / f".exporting-{dead.pid}-third.{here}-abc"
    for folder in (killed, running, elsewhere, long_ago):
        written(folder)
    os.utime(long_ago, (time.time() - 90_000, time.time() - 90_000))
    write_version(tmp_path, written)
    left = {p for p in tmp_path.iterdir() if p.name.startswith(".")}
    assert left == {running, elsewhere}
    assert versions(tmp_path) == [1]


@pytest.mark.parametrize("under", ["model", "model/deeper"])
def test_a_path_that_is_a_file_is_named_with_the_mend(tmp_path, under):
    (tmp_path / "model").write_text("a file")
    with pytest.raises(OSError, match=r"cannot be exported to .*model.*choose a folder"):
        write_version(tmp_path / under, written)
    assert (tmp_path / "model").read_text() == "a file"


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="permissions do not bind root")
def test_a_folder_without_permission_is_named_with_the_mend(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OSError, match=r"cannot be exported to .*choose a folder"):
        write_version(tmp_path, written)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
