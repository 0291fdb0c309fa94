"""What a report measures by itself: of which rows, and what it says where it cannot."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import data, encoders, tasks
from keras_mtl.evaluation import gradient_cosines
from keras_mtl.reporting import report
from keras_mtl.reporting._measured import AFFINITY_ROWS, _First, _some, with_affinity
from keras_mtl.reporting._subject import subject_of


def relations_of(model, rows, folder):
    page = report(model=model, data=rows, folder=folder, affinity=True)
    return json.loads(page.with_suffix(".json").read_text())["sections"]["tasks-and-each-other"]


def two_tasks(shared=True, compiled=True, names=("a", "b")):
    keras.utils.set_random_seed(0)
    x = keras.Input((2,), name="x")
    layer = keras.layers.Dense(3, name="trunk")
    outputs = {}
    for name in names:
        features = layer(x) if shared else keras.layers.Dense(3, name=f"own_{name}")(x)
        outputs[name] = tasks.Regression(name, scaling=None).head(features)
    model = keras_mtl.MultiTaskModel(x, outputs)
    if compiled:
        model.compile("sgd", run_eagerly=True)
    return model


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 2)).astype("float32")
    return data.Examples({"x": x}, {"a": x[:, 0], "b": np.where(x[:, 1] > 0, x[:, 1], np.nan)})


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: two_tasks(compiled=False), "The model is not compiled"),
        (lambda: two_tasks(shared=False), "expected two tasks or more that share some"),
        (lambda: two_tasks(names=("a",)), "The model has one task."),
    ],
)
def test_where_it_cannot_be_the_page_tells_why(model, why, rows, tmp_path):
    section = relations_of(model(), rows, tmp_path)
    (note,) = section["parts"][0]["blocks"]
    assert "was not measured" in note["text"] and why in note["text"] and section["intro"] == ""


def test_given_or_measured_it_is_the_same(rows, tmp_path):
    model = two_tasks()
    matrix, note = relations_of(model, rows, tmp_path)["parts"][0]["blocks"]
    found = gradient_cosines(model, rows)
    np.testing.assert_allclose(matrix["values"], found.matrix, atol=1e-6)
    assert "on all 30 judged rows" in note["text"]
    page = report(model=model, data=rows, folder=tmp_path, affinity=found)
    told = json.loads(page.with_suffix(".json").read_text())["sections"]["tasks-and-each-other"]
    assert told["parts"][0]["blocks"] == [matrix]
    assert 0 < abs(found["a", "b"]) < 0.99


def test_a_small_cosine_is_pale_and_other_affinities_have_a_scale_of_their_own(rows, tmp_path):
    model = two_tasks()
    for own, shares in ((1.0, ["100", "4", "4", "100"]), (0.5, ["100", "100", "100", "100"])):
        matrix = [[own, 0.04], [0.04, own]]
        found = keras_mtl.evaluation.Affinity(matrix, ["a", "b"])
        page = report(model=model, data=rows, folder=tmp_path, affinity=found).read_text()
        section = page[page.index('<section id="tasks-and') : page.index('<section id="parameters')]
        assert [cell.split("%")[0] for cell in section.split("--share:")[1:]] == shares


def test_of_many_rows_a_thousand_from_everywhere_are_taken(rows):
    many = rows.select(np.arange(3000) % 30)
    kept, told = _some(many, AFFINITY_ROWS)
    assert len(kept) == 1024 and told() == "1,024 of the 3,000"
    batches = many.dataset(100)
    first = _First(batches, AFFINITY_ROWS)
    for _ in range(2):
        sizes = [len(inputs["x"]) for inputs, _ in first]
        assert sizes == [100] * 10 + [24] and first.rows == 1024
    labels = [batch[1]["a"].numpy() for batch in first]
    np.testing.assert_array_equal(np.concatenate(labels), many.labels["a"][:1024])


def test_batches_are_told_by_how_many_of_them_were_read(rows):
    model = two_tasks()
    subject = with_affinity(subject_of(model, rows.dataset(8)), rows.dataset(8), "judged")
    assert "on the first 30 judged rows" in subject.notes["affinity"]
    assert dataclasses.replace(subject, affinity=None).notes == subject.notes


def test_words_of_batches_are_explained_as_words(tmp_path):
    keras.utils.set_random_seed(0)
    words = [["red", "blue"], ["blue"], ["blue", "red", "red"], ["grün"]] * 2
    rows = data.Examples({"tokens": words}, {"warm": [1, 0, 1, 0] * 2})
    encoder = encoders.Text(["red", "blue"], "cnn", units=3, embedding=2)
    model = keras_mtl.build_model(encoder, [tasks.Binary("warm")])
    page = report(model=model, data=rows.dataset(3), folder=tmp_path, explanation=True)
    section = json.loads(page.with_suffix(".json").read_text())["sections"][
        "what-the-tasks-look-at"
    ]
    note, matrix, *_ = section["parts"][0]["blocks"]
    assert note["text"] == "Integrated gradients, on all 8 judged rows."
    assert sorted(matrix["rows"]) == [f"tokens: {word}" for word in ("blue", "grün", "red")]
