"""census_income: columns by name, and the two tasks."""

import gzip

import numpy as np
import pytest

from keras_mtl.datasets import census_income
from keras_mtl.datasets.census_income import _NAMES


def line(age, income, married):
    cells = dict.fromkeys(_NAMES, "0")
    cells.update(age=str(age), income=income, marital_status=married, sex="Female", race="?")
    return ", ".join(cells[name] for name in _NAMES)


def written(folder, lines):
    with gzip.open(folder / "census-income.test.gz", "wt") as file:
        file.write("\n".join(lines) + "\n")


def test_rows_become_columns_and_two_tasks(tmp_path):
    written(
        tmp_path,
        [
            line(
                i, "50000+." if i % 5 == 0 else "- 50000.", "Never married" if i % 2 else "Divorced"
            )
            for i in range(50)
        ],
    )
    parts = census_income(tmp_path)
    assert [len(part) for part in parts] == [30, 10, 10]
    for part in parts:
        age = part.inputs["age"].astype(int)
        np.testing.assert_array_equal(part.labels["income"], age % 5 == 0)
        np.testing.assert_array_equal(part.labels["never_married"], age % 2 == 1)
        assert len(part.inputs) == 39 and "marital_status" not in part.inputs
        assert set(part.inputs["race"]) == {"?"}


def test_damage_is_told_with_its_row(tmp_path):
    written(tmp_path, [line(1, "- 50000.", "Divorced"), "1, 2, 3"])
    with pytest.raises(ValueError, match="row 2 has 3 columns, expected 42"):
        census_income(tmp_path)
    path = tmp_path / "census-income.test.gz"
    written(tmp_path, [line(1, "- 50000.", "Divorced")])
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is damaged"):
        census_income(tmp_path)


@pytest.mark.needs_data
def test_the_real_file(data_dir):
    parts = census_income(data_dir)
    assert sum(len(part) for part in parts) == 99_762
    income = np.concatenate([part.labels["income"] for part in parts])
    single = np.concatenate([part.labels["never_married"] for part in parts])
    assert abs(income.mean() - 0.062) < 0.001 and abs(single.mean() - 0.43) < 0.01
