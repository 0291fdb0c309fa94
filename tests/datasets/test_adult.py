"""adult: two files of different make, what is an input and what a label, and how damage is told."""

import csv
import gzip

import numpy as np
import pytest

from keras_mtl.datasets import adult
from keras_mtl.datasets.adult import _NAMES, RACES, SEXES


def line(age, income, sex="Female", married="Divorced", work="?"):
    cells = dict.fromkeys(_NAMES, "7")
    cells.update(
        age=str(age), income=income, marital_status=married, sex=sex, race="Black", workclass=work
    )
    return ", ".join(cells[name] for name in _NAMES)


def written(folder, train, test, packed=False):
    header = ", ".join(_NAMES)
    for name, lines in (
        ("adult.data", [header, *train, ""]),
        ("adult.test", ["|1x3 Cross validator", *test, ""]),
    ):
        text = "\n".join(lines) + "\n"
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)


@pytest.mark.parametrize("packed", [False, True])
def test_rows_become_inputs_tasks_and_groups(tmp_path, packed):
    train = [
        line(
            i,
            ">50K" if i % 5 == 0 else "<=50K",
            "Male" if i % 2 else "Female",
            "Never-married" if i % 3 else "Divorced",
        )
        for i in range(50)
    ]
    written(tmp_path, train, [line(90, ">50K."), line(91, "<=50K.", work="Private")], packed)
    parts = adult(tmp_path)
    assert [len(part) for part in parts] == [40, 10, 2]
    for part in parts[:2]:
        age = part.inputs["age"].astype(int)
        np.testing.assert_array_equal(part.labels["income"], age % 5 == 0)
        np.testing.assert_array_equal(part.labels["never_married"], age % 3 > 0)
        np.testing.assert_array_equal(part.labels["sex"], age % 2)
        np.testing.assert_array_equal(part.inputs["sex"], np.array(SEXES)[part.labels["sex"]])
    assert sorted(np.concatenate([p.inputs["age"] for p in parts[:2]])) == list(range(50))
    test = parts[2]
    assert list(test.labels["income"]) == [1, 0], "these labels end in a full stop"
    assert list(test.inputs["workclass"]) == ["", "Private"]
    assert set(test.labels["education_years"]) == {7} and test.classes["race"] == list(RACES)
    told = {"marital_status", "relationship", "education", "education_years", "weight", "income"}
    assert not told & set(test.inputs) and len(test.inputs) == 9
    again = adult(tmp_path, seed=1)
    assert set(again[1].inputs["age"]) != set(parts[1].inputs["age"])


def test_damage_is_told_with_its_place(tmp_path):
    fine = [line(i, ">50K" if i % 2 else "<=50K") for i in range(20)]
    for bad, message in (
        ("1, 2, 3", "line 22 has 3 columns, expected 15"),
        (line("old", ">50K"), "column 'age' is not all numbers"),
        (line(1, "50K"), "column 'income' has '50K', expected one of"),
        (line(1, ">50K", sex="F"), "column 'sex' has 'F', expected one of"),
    ):
        written(tmp_path, [*fine, bad], fine)
        with pytest.raises(ValueError, match=message):
            adult(tmp_path)
    written(tmp_path, fine, [])
    with pytest.raises(ValueError, match=r"adult.test has rows of 0 columns, expected 15"):
        adult(tmp_path)
    (tmp_path / "adult.test").unlink()
    with pytest.raises(ValueError, match="neither it nor"):
        adult(tmp_path)
    written(tmp_path, fine, fine, packed=True)
    (tmp_path / "adult.data").unlink()
    path = tmp_path / "adult.data.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="is damaged"):
        adult(tmp_path)


@pytest.mark.needs_data
def test_the_real_files(data_dir):
    train, valid, test = adult(data_dir)
    assert len(train) + len(valid) == 32_561 and len(test) == 16_281
    with gzip.open(data_dir / "adult" / "adult.data.gz", "rt") as file:
        raw = [row for row in csv.reader(file) if row][1:]
    rich = {s: np.mean([r[-1] == " >50K" for r in raw if r[9].strip() == s]) for s in SEXES}
    income, sex = (np.concatenate([p.labels[n] for p in (train, valid)]) for n in ("income", "sex"))
    for i, name in enumerate(SEXES):
        assert income[sex == i].mean() == pytest.approx(rich[name])
    assert rich["Female"] == pytest.approx(0.109, abs=1e-3), "as the data set is known for"
    assert train.labels["education_years"].max() == 16
    assert np.mean(test.inputs["workclass"] == "") == pytest.approx(963 / 16_281)
