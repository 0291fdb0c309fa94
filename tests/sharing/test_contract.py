"""One contract for every sharing scheme: a new one is enrolled by its name."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, sharing, tasks


@pytest.mark.parametrize("name", sharing.names())
def test_it_serves_every_task_trains_and_survives_the_disk(name, tmp_path, rng):
    x = rng.normal(size=(32, 4)).astype("float32")
    y = {"a": (x[:, 0] > 0).astype(int), "b": x[:, 1]}
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[8]), [tasks.Binary("a"), tasks.Regression("b")], sharing=name
    )
    model.compile(keras.optimizers.Adam(0.02), jit_compile=True)
    history = model.fit(x, y, epochs=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for task, out in model.predict(x, verbose=0).items():
        np.testing.assert_array_equal(out, loaded.predict(x, verbose=0)[task])
    assert model.shared_variables()


@pytest.mark.parametrize("name", sharing.names())
def test_it_is_for_one_set_of_tasks(name):
    scheme = sharing.get(name)
    features = keras.Input((3,))
    assert list(scheme.connect(features, ["z", "a"])) == ["z", "a"]
    with pytest.raises(ValueError, match="make a new one for each model"):
        scheme.connect(features, ["a", "b"])
