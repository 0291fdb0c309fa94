"""CSV files: what is read is what is there, and what is wrong is told by line."""

import csv
import gzip

import numpy as np
import pytest

from keras_mtl.data import from_csv, read_csv


def write(path, text):
    path.write_text(text)
    return path


def test_bad_rows_are_told_by_file_and_line_or_left_out(tmp_path, caplog):
    good = "".join(f"{i},x,yes\n" for i in range(40))
    path = write(tmp_path / "t.csv", f"a,b,y\n{good}7,x\n8,x,no\nabc,x,yes\n")
    with pytest.raises(
        ValueError, match=r"t.csv:42 has 2 fields, expected 3; .*t.csv:44 has 'abc'"
    ):
        from_csv(path, labels={"t": "y"})
    rows = from_csv(path, labels={"t": "y"}, on_bad_row="skip")
    assert len(rows) == 41
    assert "left out 2 bad rows" in caplog.text and ":42" in caplog.text


def test_quotes_gzip_missing_values_and_delimiters(tmp_path):
    text = 'a;b\n1.5;"x; y"\n?;z\n'
    plain = read_csv(write(tmp_path / "t.csv", text), delimiter=";")
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write(text)
    packed = read_csv(tmp_path / "t.csv.gz", delimiter=";")
    for table in (plain, packed):
        np.testing.assert_array_equal(table["a"], [1.5, np.nan])
        assert table["b"].tolist() == ["x; y", "z"]


def test_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no row"):
        read_csv(write(tmp_path / "empty.csv", "a,b\n"))
    (tmp_path / "bad.csv.gz").write_bytes(b"not gzip")
    with pytest.raises(ValueError, match="cannot be read as a CSV file"):
        read_csv(tmp_path / "bad.csv.gz")
    with pytest.raises(ValueError, match="expected 'error' or 'skip'"):
        read_csv(tmp_path / "empty.csv", on_bad_row="ignore")


@pytest.mark.needs_data
def test_adult_as_an_independent_reader_reads_it(data_dir):
    path = data_dir / "adult" / "adult.data.gz"
    rows = from_csv(path, labels={"income": "Salary", "married": "marital-status"})
    with gzip.open(path, "rt") as file:
        plain = [row for row in csv.DictReader(file, skipinitialspace=True) if row["age"]]
    assert len(rows) == len(plain) == 32_561
    ages = [float(row["age"]) for row in plain]
    np.testing.assert_array_equal(rows.inputs["age"], ages)
    assert (
        (rows.inputs["workclass"] == "").sum() == sum(r["workclass"] == "?" for r in plain) > 1000
    )
    over = rows.classes["income"].index(">50K")
    assert (rows.labels["income"] == over).sum() == sum(r["Salary"] == ">50K" for r in plain)


@pytest.mark.needs_data
def test_semicolons_and_quotes_of_bank_marketing(data_dir):
    rows = from_csv(
        data_dir / "bank_marketing" / "bank.csv.gz",
        delimiter=";",
        labels={"subscribes": "y", "balance": "balance"},
    )
    assert len(rows) == 4521 and rows.classes["subscribes"] == ["no", "yes"]
    assert rows.labels["balance"].dtype == np.float32 and rows.labels["balance"].min() < -1000
