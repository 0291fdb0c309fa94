"""Tabular: what it infers, and what it does with values that it does not know."""

import numpy as np
import pytest

import keras_mtl
from keras_mtl import data, encoders, tasks


def test_it_infers_statistics_and_vocabularies_of_the_training_rows():
    table = {"age": np.array([1.0, 2.0, np.nan, 3.0]), "job": np.array(["b", "a", "b", ""])}
    columns = encoders.Tabular.infer(table).columns
    assert columns["age"].mean == 2.0 and columns["age"].variance == pytest.approx(2 / 3)
    assert columns["job"].vocabulary == ["b", "a"]
    with pytest.raises(ValueError, match=r"names the columns \['ages'\]"):
        encoders.Tabular.infer(table, exclude=["ages"])


def test_numbers_are_normalised_and_missing_ones_flagged():
    encoder = encoders.Tabular({"age": encoders.Numeric(10.0, 4.0)}, units=[])
    got = np.asarray(encoder({"age": np.array([10.0, 14.0, np.nan], "float32")}))
    np.testing.assert_allclose(got, [[0, 0], [2, 0], [0, 1]])


def test_unknown_categories_share_one_embedding_and_columns_do_not_mix():
    encoder = encoders.Tabular(
        {"a": encoders.Categorical(["x", "y"]), "b": encoders.Categorical([3, 5])},
        units=[],
        embedding=2,
    )
    got = np.asarray(encoder({"a": np.array(["x", "q", "", "x"]), "b": np.array([3, 4, 9, 5])}))
    np.testing.assert_array_equal(got[1], got[2])
    np.testing.assert_array_equal(got[0, :2], got[3, :2])
    assert not np.allclose(got[0, 2:], got[3, 2:])
    assert encoder.table.input_dim == 6


@pytest.mark.needs_data
def test_raw_columns_of_adult_are_served_as_they_are(data_dir):
    """From a CSV file to a model that takes columns of text and numbers with values missing."""
    rows = data.from_csv(
        data_dir / "adult" / "adult.data.gz",
        inputs=["age", "workclass", "education", "hours-per-week", "occupation"],
        labels={"income": "Salary"},
    )
    train, test = data.split(rows, [0.8, 0.2])
    model = keras_mtl.build_model(
        encoders.Tabular.infer(train.inputs, units=[32]),
        [tasks.Binary("income", train.classes["income"])],
    )
    model.compile("adam")
    model.fit(train.dataset(512, shuffle=True, seed=0), epochs=2, verbose=0)
    assert keras_mtl.evaluate(model, test, batch_size=2048)["income"]["auc"] > 0.8
    row = {"age": np.array([39.0]), "workclass": np.array([""]), "education": np.array(["Doctorate"]),
           "hours-per-week": np.array([np.nan]), "occupation": np.array(["Astronaut"])}  # fmt: skip
    assert 0 < model.predict(row, verbose=0)["income"][0, 0] < 1
