"""Splits: disjoint, complete, repeatable, and alike for every task."""

import numpy as np
import pytest

from keras_mtl import data
from keras_mtl.data import Examples, split


def test_parts_are_disjoint_complete_and_repeatable(rng):
    rows = Examples({"row": np.arange(100)}, {"y": rng.integers(0, 3, 100)})
    parts = split(rows, {"train": 0.7, "valid": 0.1, "test": 0.2}, seed=4)
    ids = [set(part.inputs["row"].tolist()) for part in parts.values()]
    assert set.union(*ids) == set(range(100)) and sum(map(len, ids)) == 100
    assert [len(part) for part in parts.values()] == [70, 10, 20]
    again = split(rows, [0.7, 0.1, 0.2], seed=4)
    assert [set(p.inputs["row"].tolist()) for p in again] == ids
    other = split(rows, [0.7, 0.1, 0.2], seed=5)
    assert [set(p.inputs["row"].tolist()) for p in other] != ids


def test_rare_labels_of_several_tasks_reach_every_part(rng):
    """Ten positives of one task and ten labels of another, in a thousand rows."""
    rare = np.zeros(1000, int)
    rare[rng.permutation(1000)[:10]] = 1
    labelled = np.full(1000, np.nan)
    labelled[rng.permutation(1000)[:10]] = rng.normal(size=10)
    rows = Examples({"x": np.arange(1000)}, {"rare": rare, "number": labelled})
    train, test = split(rows, [0.5, 0.5])
    for part in (train, test):
        assert part.labels["rare"].sum() == 5
        assert 4 <= np.isfinite(part.labels["number"]).sum() <= 6


def test_shares_that_are_none_are_refused():
    rows = Examples({"x": np.arange(3)}, {"y": [0, 1, 0]})
    for fractions in ([1.0], [0.5, 0.6], [1.2, -0.2]):
        with pytest.raises(ValueError, match="sum to 1"):
            split(rows, fractions)
    with pytest.raises(ValueError, match="a part would be empty"):
        split(rows, [0.9, 0.02, 0.08])
    with pytest.raises(ValueError, match=r"`stratify` names the tasks \['z'\]"):
        split(rows, [0.5, 0.5], stratify=["z"])


@pytest.mark.needs_data
def test_every_class_of_adult_has_its_share_in_every_part(data_dir):
    rows = data.from_csv(
        data_dir / "adult" / "adult.data.gz",
        labels={"income": "Salary", "married": "marital-status", "work": "workclass"},
    )
    parts = split(rows, [0.6, 0.2, 0.2])
    for task, labels in rows.labels.items():
        for value in np.unique(labels):
            counts = [int((part.labels[task] == value).sum()) for part in parts]
            expected = np.array([0.6, 0.2, 0.2]) * (labels == value).sum()
            assert np.abs(counts - expected).max() <= max(3, 0.02 * sum(counts)), (task, value)
