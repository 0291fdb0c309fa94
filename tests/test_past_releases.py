"""Models saved by every past release still load, answer the same and train on."""

import json

import keras
import numpy as np
import pytest

import keras_mtl
from tests.fixtures import make

FILES = sorted(make.FOLDER.glob("*.keras"))


def test_there_is_a_file_of_the_present_release():
    assert f"{keras_mtl.__version__}.keras" in [file.name for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_saved_model_loads_answers_and_trains(file):
    sentences = np.array(make.SENTENCES)
    model = keras.models.load_model(file)
    answers = model.predict(sentences, verbose=0)
    for name, expected in json.loads(file.with_suffix(".json").read_text()).items():
        np.testing.assert_allclose(answers[name], expected, rtol=1e-4, atol=1e-5)
    assert model.loss_weights == {"intent": 1.0, "slots": 1.0, "price": 0.5}
    labels = {name: np.array(values) for name, values in make.LABELS.items()}
    history = model.fit(sentences, labels, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
