"""compas: columns by name from either file, what is an input and what a label."""

import csv
import gzip

import numpy as np
import pytest

from keras_mtl.datasets import compas
from keras_mtl.datasets.compas import RACES, SEXES

# `decile_score` and `priors_count` come twice, the columns of names are those that are not read.
HEADER = (
    "id,name,sex,age,race,juv_fel_count,decile_score,juv_misd_count,juv_other_count,priors_count,"
    "c_charge_degree,is_recid,is_violent_recid,decile_score,priors_count,two_year_recid"
)


def line(i, **changed):
    cells = [
        str(i), f'"N., {i}"', SEXES[i % 2], str(20 + i), RACES[i % 6], "0", str(1 + i % 10), "0", "0",
        "3", "FM"[i % 2], "1", str(int(i % 7 == 0)), str(1 + i % 10), "3", str(int(i % 3 == 0)),
    ]  # fmt: skip
    for name, value in changed.items():
        cells[HEADER.split(",").index(name)] = value
    return ",".join(cells)


def written(folder, lines):
    (folder / "compas-scores-two-years.csv").write_text("\n".join([HEADER, *lines]) + "\n")


def test_rows_become_inputs_tasks_and_groups(tmp_path):
    written(tmp_path, [line(i) for i in range(60)])
    parts = compas(tmp_path)
    assert [len(part) for part in parts] == [36, 12, 12]
    for part in parts:
        i = part.inputs["age"].astype(int) - 20
        np.testing.assert_array_equal(part.labels["two_year_recid"], i % 3 == 0)
        np.testing.assert_array_equal(part.labels["violent_recid"], i % 7 == 0)
        np.testing.assert_array_equal(part.labels["decile_score"], 1 + i % 10)
        np.testing.assert_array_equal(part.labels["sex"], i % 2)
        np.testing.assert_array_equal(part.labels["race"], i % 6)
        np.testing.assert_array_equal(part.inputs["race"], np.array(RACES)[i % 6])
        assert len(part.inputs) == 8 and "decile_score" not in part.inputs
        assert part.classes["race"] == list(RACES)


def test_damage_is_told(tmp_path):
    for lines, message in (
        ([line(0), "1,2"], "line 3 has 2 columns, expected 16"),
        ([line(0), line(1, age="")], "column 'age' is not all numbers"),
        ([line(0), line(1, race="Martian")], "column 'race' has 'Martian', expected one of"),
        ([line(0), line(1, two_year_recid="2")], "column 'two_year_recid' has '2'"),
        ([], "or no rows"),
    ):
        written(tmp_path, lines)
        with pytest.raises(ValueError, match=message):
            compas(tmp_path)
    (tmp_path / "compas-scores-two-years.csv").write_text("id,age\n1,2\n")
    with pytest.raises(ValueError, match=r"has no columns \['juv_fel_count'"):
        compas(tmp_path)


@pytest.mark.needs_data
def test_the_real_file(data_dir):
    parts = compas(data_dir)
    assert sum(len(part) for part in parts) == 7_214
    path = data_dir / "compas" / "compas-scores-two-years.anonymous.csv.gz"
    with gzip.open(path, "rt") as file:
        raw = list(csv.DictReader(file))
    race, again = (np.concatenate([p.labels[n] for p in parts]) for n in ("race", "two_year_recid"))
    for i, name in enumerate(RACES):
        of = [int(r["two_year_recid"]) for r in raw if r["race"] == name]
        assert (race == i).sum() == len(of) and again[race == i].mean() == pytest.approx(
            np.mean(of)
        )
    # ProPublica's own figures: 51 % of black and 39 % of white defendants.
    assert again[race == 0].mean() == pytest.approx(0.51, abs=0.01)
    assert again[race == 1].mean() == pytest.approx(0.39, abs=0.01)
