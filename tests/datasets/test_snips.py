"""snips: the published split, read the same way by another reading."""

import collections
import shutil

import pytest

from keras_mtl import _labels
from keras_mtl.datasets import snips


@pytest.mark.needs_data
def test_it_is_the_published_split(data_dir):
    parts = snips(data_dir)
    assert [len(part) for part in parts] == [13_084, 700, 700]
    assert len(parts[0].intents) == 7 and len(parts[0].tags) == 72 and parts[0].tags[0] == "O"
    for part, name in zip(parts, ("train", "valid", "test"), strict=True):
        folder = data_dir / "snips" / name
        words = [line.split() for line in (folder / "seq.in").read_text().splitlines()]
        tags = [line.split() for line in (folder / "seq.out").read_text().splitlines()]
        assert [list(part.inputs["tokens"][i]) for i in range(50)] == words[:50]
        decoded = [
            _labels.decode_tags(part.labels["slots"][i], part.tags) for i in range(len(part))
        ]
        assert decoded == tags
    counts = collections.Counter(
        w for i in range(len(parts[0])) for w in parts[0].inputs["tokens"][i]
    )
    assert parts[0].vocabulary[0] == counts.most_common(1)[0][0]
    assert set(parts[0].vocabulary) == set(counts)


@pytest.mark.needs_data
def test_the_folder_may_be_the_sets_own_or_the_one_above(data_dir, monkeypatch):
    monkeypatch.delenv("KERAS_MTL_DATA")
    assert len(snips(data_dir / "snips")[1]) == 700
    monkeypatch.setenv("KERAS_MTL_DATA", str(data_dir))
    assert len(snips()[1]) == 700


@pytest.mark.needs_data
def test_a_damaged_copy_is_told_by_file_and_line(data_dir, tmp_path):
    shutil.copytree(data_dir / "snips", tmp_path / "snips")
    for path in (tmp_path / "snips").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    tags = tmp_path / "snips" / "valid" / "seq.out"
    lines = tags.read_text().split("\n")
    lines[9] = "O"
    tags.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"valid/seq.out:10 has 1 tags"):
        snips(tmp_path)
