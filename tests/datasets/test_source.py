"""Where data come from: folders, the environment, and downloads that are checked."""

import hashlib

import keras
import pytest

from keras_mtl.datasets._source import File, locate


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file that is published at a URL, and an empty cache."""
    monkeypatch.delenv("KERAS_MTL_DATA", raising=False)
    origin = tmp_path / "web" / "part" / "a.txt"
    origin.parent.mkdir(parents=True)
    origin.write_text("hello")
    cache = tmp_path / "cache"
    real = keras.utils.get_file
    monkeypatch.setattr(
        keras.utils, "get_file", lambda **kwargs: real(**kwargs, cache_dir=str(cache))
    )
    return origin, cache


def test_a_download_is_checked_by_its_sum_and_kept(published):
    origin, _ = published
    sha = hashlib.sha256(b"hello").hexdigest()
    files = {"part/a.txt": File(origin.as_uri(), sha)}
    path = locate("toy", files)["part/a.txt"]
    assert path.read_text() == "hello" and path.parts[-4:] == ("keras_mtl", "toy", "part", "a.txt")
    origin.unlink()
    assert locate("toy", files)["part/a.txt"] == path


def test_a_download_with_another_sum_is_refused(published):
    origin, _ = published
    with pytest.raises(
        ValueError, match=r"'part/a.txt' of the data set 'toy' cannot be had .*data_dir"
    ):
        locate("toy", {"part/a.txt": File(origin.as_uri(), "0" * 64)})


def test_a_folder_without_the_files_is_told_with_where_was_looked(tmp_path, monkeypatch):
    files = {"a.txt": File("http://example.invalid/a.txt", "0" * 64)}
    with pytest.raises(ValueError, match=r"`data_dir` is .*neither it nor .*toy' holds the files"):
        locate("toy", files, tmp_path)
    monkeypatch.setenv("KERAS_MTL_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="The environment variable KERAS_MTL_DATA is"):
        locate("toy", files)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "a.txt").write_text("mine")
    assert locate("toy", files)["a.txt"].read_text() == "mine"
