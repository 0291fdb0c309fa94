"""Tables in memory, with pandas and without."""

import numpy as np
import pandas as pd
import pytest

from keras_mtl.data import from_frame


def test_a_data_frame_and_a_dict_give_the_same_rows():
    table = {"age": [1.0, 2.0, np.nan], "job": ["b", None, "a"], "sold": ["no", "yes", None]}
    for given in (table, pd.DataFrame(table)):
        rows = from_frame(given, ["age", "job"], {"sale": "sold"})
        assert rows.inputs["job"].tolist() == ["b", "", "a"]
        assert rows.labels["sale"].tolist() == [0, 1, -1]
        assert rows.classes == {"sale": ["no", "yes"]}


def test_classes_of_the_training_rows_make_others_errors(caplog):
    rows = from_frame(
        {"x": [1, 2], "y": ["a", "new"]}, ["x"], {"t": "y"}, classes={"t": ["a", "b"]}
    )
    assert rows.labels["t"].tolist() == [0, -2]
    assert "'new'" in caplog.text and "'t'" in caplog.text


def test_several_columns_are_one_label_of_several_dimensions():
    rows = from_frame({"x": [1, 2], "a": [1, 2], "b": [3, np.nan]}, ["x"], {"t": ["a", "b"]})
    np.testing.assert_array_equal(rows.labels["t"], [[1, 3], [2, np.nan]])
    with pytest.raises(ValueError, match="use one task a column"):
        from_frame({"x": [1], "a": ["u"], "b": [1]}, ["x"], {"t": ["a", "b"]})


def test_an_absent_column_is_told_with_its_nearest():
    with pytest.raises(ValueError, match=r"'incom' is not in the table.*did you mean 'income'"):
        from_frame({"x": [1], "income": [1]}, ["x"], {"t": "incom"})
