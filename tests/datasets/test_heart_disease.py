"""heart_disease: what is missing is missing, hospital by hospital."""

import numpy as np
import pytest

from keras_mtl.datasets import heart_disease

HEAD = ",".join(f"X{i}" for i in range(1, 15))


def written(folder, last="2"):
    for name in ("cleveland", "hungarian", "switzerland", "va"):
        rows = [
            HEAD,
            "63,1,4,145,233,0,2,150,0,2.3,3,1,6,0",
            f"40,0,-9,0,0,1,0,-9,1,-9,-9,-9,0.0,{last}",
        ]
        (folder / f"processed.{name}.data").write_text("\n".join(rows) + "\n")


def test_what_was_not_measured_is_missing(tmp_path):
    written(tmp_path)
    found = heart_disease(tmp_path)
    assert list(found) == ["cleveland", "hungarian", "switzerland", "va"]
    for i, rows in enumerate(found.values()):
        inputs, labels = rows.inputs, rows.labels
        np.testing.assert_array_equal(inputs["age"], [63, 40])
        assert [np.isnan(inputs[n][1]) for n in ("blood_pressure", "cholesterol", "vessels")] == [
            True
        ] * 3
        assert inputs["chest_pain"].tolist() == ["4", ""] and inputs["thallium"].tolist() == [
            "6",
            "",
        ]
        assert labels["disease"].tolist() == [0, 1] and labels["hospital"].tolist() == [i, i]
    assert found["hungarian"].labels["severity"].tolist() == [0, -1]
    assert found["va"].labels["severity"].tolist() == [0, 2]


def test_a_row_that_is_no_row_is_told(tmp_path):
    written(tmp_path, last="2,7")
    with pytest.raises(ValueError, match=r"line 3 reads .* expected 14 numbers"):
        heart_disease(tmp_path)


@pytest.mark.needs_data
def test_the_real_files(data_dir):
    found = heart_disease(data_dir)
    assert [len(rows) for rows in found.values()] == [303, 294, 123, 200]
    sick = {name: rows.labels["disease"].mean() for name, rows in found.items()}
    assert sick["switzerland"] > 0.9 and 0.3 < sick["hungarian"] < 0.4
