"""One contract for every format that a model is converted to."""

import json

import keras
import numpy as np
import pytest

import keras_mtl
from tests.export._digits import (
    PEOPLE,
    TASKS,
    differences,
    digits,
    own_names,
    sequences,
    song_model,
)
from tests.export._formats import FORMATS


@pytest.fixture(scope="module", params=sorted(FORMATS))
def form(request):
    found = FORMATS[request.param]
    for package in found.packages:
        pytest.importorskip(package)
    return found


@pytest.fixture(scope="module")
def made(form, tmp_path_factory):
    model, _, test = digits()
    return form.write(model, tmp_path_factory.mktemp("format") / "model", evaluate_on=test)


def test_answers_are_the_models_own_for_any_number_of_rows(form, made):
    model, _, test = digits()
    for rows in (1, 7, 400):
        image = test.inputs["image"][:rows]
        expected = model.predict(image, verbose=0)
        assert max(differences(expected, form.run(made.path, {"image": image})).values()) < 1e-5
    assert 0 < made.difference < 1e-5


def test_metrics_before_are_the_models_and_after_are_the_files(form, made, tmp_path):
    model, _, test = digits()
    answers = form.run(made.path, test.inputs)
    before = keras_mtl.evaluate(model, test)
    for task in TASKS:
        right = float((answers[task].argmax(axis=1) == test.labels[task]).mean())
        assert right > 0.8, "it has learnt something to lose"
        assert made.report.after[task]["accuracy"] == pytest.approx(right, abs=1e-9)
        assert made.report.before[task] == before[task]
    read = json.loads(made.to_json(tmp_path / "report.json").read_text())
    assert read["bytes"] == made.path.stat().st_size == made.size
    assert read["tasks"]["after"]["left"]["accuracy"] == made.report.after["left"]["accuracy"]
    assert read["tasks"]["difference"]["right"]["accuracy"] == pytest.approx(0, abs=0.005)
    shown = str(made)
    assert str(made.path) in shown and "left" in shown and "accuracy" in shown


def test_names_that_python_does_not_take(form, tmp_path):
    model = own_names()
    made = form.write(model, tmp_path / "model")
    answers = form.run(made.path, PEOPLE)
    assert answers["first"].dtype == np.int32
    assert max(differences(model.predict(PEOPLE, verbose=0), answers).values()) < 1e-5
    assert made.report is None and json.loads(json.dumps(made.to_dict()))["tasks"] is None


def test_convolutions_over_time_keep_the_length_free(form, tmp_path, rng):
    layers = [keras.layers.Conv1D(4, 3, padding="same"), keras.layers.GlobalMaxPooling1D()]
    model = sequences(keras.Sequential(layers))
    path = form.write(model, tmp_path / "model").path
    for length in (5, 9):
        signal = rng.normal(size=(2, length, 3)).astype("float32")
        expected = model.predict(signal, verbose=0)
        assert max(differences(expected, form.run(path, {"signal": signal})).values()) < 1e-5


def test_text_is_refused(form, tmp_path):
    with pytest.raises(ValueError, match=rf"\['tokens'\] are text, for which {form.name}"):
        form.write(song_model(), tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_outputs_without_a_task_object_cannot_be_judged(form, tmp_path):
    with pytest.raises(ValueError, match=r"`evaluate_on` came for a model .*'variables'.*tasks="):
        form.write(own_names(), tmp_path / "model", evaluate_on=[(PEOPLE, {})])


def test_any_other_model_is_refused(form, tmp_path):
    message = rf"export.{form.name.lower()} takes a keras_mtl.MultiTaskModel.*Sequential"
    with pytest.raises(TypeError, match=message):
        form.write(keras.Sequential(), tmp_path / "model")


def test_a_file_is_replaced_whole_or_not_at_all(form, tmp_path, monkeypatch):
    path = tmp_path / "model"
    path.write_bytes(b"before")

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space left"):
            form.write(own_names(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["model"] and path.read_bytes() == b"before"
    form.write(own_names(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["model"] and form.run(path, PEOPLE)
