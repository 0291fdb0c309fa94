"""new_task: what was learnt for some tasks, under the head of another."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, sharing, tasks


def trained(scheme="hard", rng=None):
    keras.utils.set_random_seed(1)
    model = keras_mtl.build_model(
        encoders.Dense(6, units=[16, 8]),
        [tasks.Binary("sold", tower=(4,)), tasks.Regression("price")],
        scheme,
    )
    model.compile(keras.optimizers.Adam(0.01))
    x = (rng or np.random.default_rng(0)).normal(size=(64, 6)).astype("float32")
    y = {"sold": (x[:, :1] > 0).astype("int32"), "price": 9 * x[:, :1]}
    model.fit(x, y, epochs=2, verbose=0)
    return model, x, y


@pytest.mark.parametrize("scheme", ["hard", "mmoe", sharing.PLE(levels=1)])
def test_a_new_head_reads_the_features_that_all_tasks_share(scheme, tmp_path):
    model, x, _ = trained(scheme)
    encoder = model.get_layer("dense_encoder")
    before = [v.numpy() for v in encoder.weights]
    new = model.new_task(tasks.MultiClass("kind", classes=3))
    assert new.task_names == ["kind"] and {id(v) for v in encoder.weights} <= {
        id(v) for v in new.weights
    }
    count = sum(int(np.prod(v.shape)) for v in new.trainable_variables)
    assert count == sum(w.size for w in before) + 8 * 3 + 3, "the encoder and a head"
    new.compile("adam")
    new.fit(x, {"kind": np.arange(64) % 3}, verbose=0)
    assert any((v.numpy() != b).any() for v, b in zip(encoder.weights, before, strict=True)), (
        "the weights are those of the first model"
    )
    new.save(tmp_path / "new.keras")
    loaded = keras.models.load_model(tmp_path / "new.keras")
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0)["kind"], new.predict(x, verbose=0)["kind"]
    )


def test_frozen_layers_stay_and_old_tasks_may_be_kept():
    model, x, y = trained()
    before = model.predict(x, verbose=0)
    model.get_layer("dense_encoder").trainable = False
    both = model.new_task(tasks.Regression("size"), keep=True)
    assert both.task_names == ["sold", "price", "size"]
    both.compile("adam", loss={"size": "mse"})
    both.fit(x, {"size": x[:, 1:2]}, verbose=0)
    after = both.predict(x, verbose=0)
    for task in ("sold", "price"):
        np.testing.assert_array_equal(after[task], before[task])
    assert model.evaluate(x, y, verbose=0), "the first model is as it was"


def test_what_cannot_be_is_refused():
    model, _, _ = trained()
    with pytest.raises(ValueError, match="'price'"):
        model.new_task(tasks.Regression("price"), keep=True)
    assert model.new_task(tasks.Regression("price")).task_names == ["price"]
    x = keras.Input((3,), name="x")
    apart = keras_mtl.MultiTaskModel(
        x, {"a": keras.layers.Dense(1)(x), "b": keras.layers.Dense(1)(x)}
    )
    with pytest.raises(ValueError, match="no features in common, only inputs"):
        apart.new_task(tasks.Regression("c"))
