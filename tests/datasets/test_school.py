"""school: a task a school, whose pupils are its own."""

import numpy as np
import pytest
import scipy.io

from keras_mtl.datasets import school


def cells(arrays):
    found = np.empty((1, len(arrays)), object)
    for i, array in enumerate(arrays):
        found[0, i] = array
    return found


def written(folder, sizes=(10, 5), short=False):
    """A file of two schools: what a pupil is, then a constant 1."""
    x = [
        np.column_stack([np.arange(n) + 100 * i, np.zeros(n), np.ones(n)])
        for i, n in enumerate(sizes)
    ]
    y = [np.arange(n, dtype="uint8")[:, None] + 50 * i for i, n in enumerate(sizes)]
    if short:
        y[1] = y[1][:-1]
    scipy.io.savemat(folder / "school.mat", {"X": cells(x), "Y": cells(y)})


def test_each_school_is_split_and_labels_only_its_own_pupils(tmp_path):
    written(tmp_path)
    parts = school(tmp_path, seed=3)
    assert [len(part) for part in parts] == [9, 3, 3]
    seen = []
    for part in parts:
        pupil, which = part.inputs["pupil"], part.labels["school"]
        assert pupil.shape[1] == 2, "the constant is left out"
        for k in range(2):
            label = part.labels[f"school_{k}"][:, 0]
            np.testing.assert_array_equal(np.isnan(label), which != k)
            np.testing.assert_array_equal(label[which == k], pupil[which == k, 0] - 50 * k)
        seen += list(pupil[:, 0])
    assert sorted(seen) == [*range(10), *range(100, 105)]
    again, other = school(tmp_path, seed=3)[0], school(tmp_path, seed=4)[0]
    np.testing.assert_array_equal(again.inputs["pupil"], parts[0].inputs["pupil"])
    assert (other.inputs["pupil"] != parts[0].inputs["pupil"]).any()


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "school.mat").write_bytes(b"no such thing" * 20)
    with pytest.raises(ValueError, match="is not the MATLAB file"):
        school(tmp_path)
    written(tmp_path, short=True)
    with pytest.raises(ValueError, match="pupils and scores do not match"):
        school(tmp_path)


@pytest.mark.needs_data
def test_the_real_file(data_dir):
    train, valid, test = school(data_dir)
    assert len(train) + len(valid) + len(test) == 15_362
    assert train.inputs["pupil"].shape[1] == 27 and len(train.labels) == 140
    assert all((~np.isnan(test.labels[f"school_{k}"])).any() for k in range(139))
