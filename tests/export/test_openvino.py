"""The SavedModel as it is, read and run by OpenVINO, which has no TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from keras_mtl import export
from tests.export._digits import PEOPLE, TASKS, differences, digits, own_names, song_model

openvino = pytest.importorskip("openvino")


def compiled(path):
    # Some processors would compute in bfloat16.
    return openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def answers_of(found, inputs):
    return {port.get_any_name(): np.array(value) for port, value in found(inputs).items()}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return export.saved_model(digits()[0], tmp_path_factory.mktemp("digits"))


def test_answers_are_the_models_own_for_any_number_of_rows(path):
    model, _, test = digits()
    found = compiled(path)
    assert [port.get_names() for port in found.inputs] == [{"image"}]
    assert [port.get_names() for port in found.outputs] == [{task} for task in TASKS]
    for rows in (1, 7, 400):
        image = test.inputs["image"][:rows]
        expected = model.predict(image, verbose=0)
        assert max(differences(expected, answers_of(found, {"image": image})).values()) < 1e-5


def test_it_runs_where_no_tensorflow_is(path, tmp_path):
    model, _, test = digits()
    image = test.inputs["image"][:5]
    np.save(tmp_path / "image.npy", image)
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["keras_mtl"] = None
import numpy, openvino
hint = {"INFERENCE_PRECISION_HINT": "f32"}
found = openvino.Core().compile_model(sys.argv[1], "CPU", hint)
answers = found({"image": numpy.load(sys.argv[2] + "/image.npy")})
numpy.savez(sys.argv[2] + "/out.npz", **{k.get_any_name(): v for k, v in answers.items()})
"""
    command = [sys.executable, "-c", script, str(path), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    answers = dict(np.load(tmp_path / "out.npz"))
    assert max(differences(model.predict(image, verbose=0), answers).values()) < 1e-5


def test_names_that_python_does_not_take(tmp_path):
    model = own_names()
    found = compiled(export.saved_model(model, tmp_path))
    answers = answers_of(found, PEOPLE)
    assert max(differences(model.predict(PEOPLE, verbose=0), answers).values()) < 1e-5


def test_text_runs_row_by_row_through_its_tokenizers(tmp_path):
    """Of several rows of text at once, openvino-tokenizers 2026.4 makes wrong answers or none."""
    # What it adds to OpenVINO it adds by being imported.
    pytest.importorskip("openvino_tokenizers")
    model = song_model()
    found = compiled(export.saved_model(model, tmp_path))
    for row in (["play"], ["play", "some", "miles", "davis", "now"], ["unheard", "miles"]):
        tokens = np.array([row])
        expected = model.predict(tf.constant(tokens), verbose=0)
        answers = answers_of(found, {"tokens": tokens})
        assert max(differences(expected, answers).values()) < 1e-5
