"""evaluate: scikit-learn's numbers, missing labels out, frames as slot filling counts them."""

import json

import keras
import numpy as np
import pytest
from sklearn import metrics

import keras_mtl
from keras_mtl import data, encoders, tasks
from tests.models import compiled, rows

TAGS = ["O", "B-x", "I-x"]


@pytest.fixture
def tagger(rng):
    """A model of an intent and slots, with rows of different lengths."""
    lengths = rng.integers(1, 7, 40)
    steps = [list(rng.choice(["a", "b", "c"], n)) for n in lengths]
    examples = data.Examples(
        {"tokens": steps},
        {"intent": rng.integers(0, 2, 40), "slots": [rng.integers(0, 3, n) for n in lengths]},
    )
    encoder = encoders.Text(["a", "b", "c"], "cnn", units=8, embedding=8)
    model = keras_mtl.build_model(
        encoder, [tasks.MultiClass("intent", 2), tasks.SequenceTagging("slots", TAGS)]
    )
    return model, examples


def test_frames_are_rows_with_intent_and_every_tag_right(tagger):
    model, examples = tagger
    report = keras_mtl.evaluate(model, examples, batch_size=7)
    right = 0
    for i in range(40):
        (inputs, _), *_ = examples.select([i]).dataset(1)
        answer = model.predict_on_batch(inputs)
        intent = answer["intent"][0].argmax() == examples.labels["intent"][i]
        slots = (answer["slots"][0].argmax(-1) == examples.labels["slots"][i]).all()
        right += bool(intent and slots)
    assert report.joint["frame_accuracy"] == pytest.approx(right / 40)
    assert report.counts == {"intent": 40, "slots": int(examples.labels["slots"].lengths.sum())}


def test_the_same_numbers_from_batches_examples_and_arrays():
    x, y = rows(50)
    inputs = keras.Input((6,), name="x")
    kinds = [tasks.Regression("z_price"), tasks.MultiClass("a_kind", 3), tasks.Binary("m_sold")]
    model = keras_mtl.MultiTaskModel(inputs, {t.name: t.head(inputs) for t in kinds})
    examples = data.Examples({"x": x}, y)
    reports = [
        keras_mtl.evaluate(model, examples),
        keras_mtl.evaluate(model, examples.dataset(16)),
        keras_mtl.evaluate(model, x, y),
        keras_mtl.evaluate(model, {"x": x}, y),
    ]
    for report in reports[1:]:
        for name in y:
            assert report[name] == pytest.approx(reports[0][name], rel=1e-5)
    served = model.predict(x, verbose=0)
    decided = served["a_kind"].argmax(-1)
    assert reports[0]["a_kind"]["accuracy"] == metrics.accuracy_score(y["a_kind"], decided)
    assert reports[0]["m_sold"]["auc"] == pytest.approx(
        metrics.roc_auc_score(y["m_sold"], served["m_sold"])
    )
    assert reports[0]["z_price"]["r2"] == pytest.approx(
        metrics.r2_score(y["z_price"], served["z_price"]), rel=1e-3
    )


def test_outputs_without_a_task_are_judged_by_their_compiled_metrics():
    x, y = rows(30)
    model = compiled(metrics={"a_kind": ["accuracy"]})
    report = keras_mtl.evaluate(model, x, y)
    told = model.evaluate(x, y, verbose=0, return_dict=True)
    assert report["a_kind"] == pytest.approx(
        {"loss": told["a_kind_loss"], "accuracy": told["a_kind_accuracy"]}
    )
    assert list(report.scores) == ["z_price", "a_kind", "m_sold"]


def test_it_prints_and_is_saved_whole_or_not_at_all(tagger, tmp_path):
    model, examples = tagger
    report = keras_mtl.evaluate(model, examples)
    shown = str(report)
    assert "intent" in shown and f"{report['slots']['f1']:.4f}" in shown
    lines = report.to_markdown().strip().split("\n")
    assert len({line.count("|") for line in lines}) == 1
    path = report.to_json(tmp_path / "deep" / "report.json")
    assert json.loads(path.read_text()) == report.to_dict()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        report.to_json(tmp_path / "file" / "report.json")
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]


def test_what_is_not_defined_is_null_and_no_label_is_an_error():
    model = keras_mtl.build_model(
        encoders.Dense(2, units=[2]), [tasks.Binary("a"), tasks.Binary("b")]
    )
    x = np.zeros((3, 2), "float32")
    report = keras_mtl.evaluate(model, x, {"a": np.array([1, 1, 1]), "b": np.array([0, 1, -1])})
    assert np.isnan(report["a"]["auc"]) and report.to_dict()["tasks"]["a"]["auc"] is None
    assert report.counts == {"a": 3, "b": 2}
    with pytest.raises(ValueError, match="hold no label of the model's tasks"):
        keras_mtl.evaluate(model, data.Examples({"features": x}, {"c": [1, 2, 3]}))
