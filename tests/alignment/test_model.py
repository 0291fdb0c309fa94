"""Alignment in a model: what training does with it, and what serving does not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import alignment, encoders, tasks
from keras_mtl.alignment.mmd import mmd


def rows(rng, count=64):
    """Two sites whose inputs lie apart; the label does not depend on the site."""
    site = rng.integers(0, 2, count).astype("int32")
    x = rng.normal(size=(count, 4)).astype("float32")
    y = {"sold": (x[:, 0] > 0).astype("int32"), "site": site}
    x[:, 1] += 4.0 * site
    return x, y


def built(aligned, **kwargs):
    keras.utils.set_random_seed(2)
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[8]),
        [tasks.Binary("sold"), tasks.Regression("size", scaling=None)],
        alignment=None if aligned is None else {"site": aligned},
    )
    model.compile(keras.optimizers.Adam(0.02), **kwargs)
    return model


def gap(model, x, site):
    features = keras.Model(model.input, model.get_layer("dense_encoder").output).predict(
        x, verbose=0
    )
    means = [features[site == s].mean(0) for s in range(2)]
    return np.linalg.norm(means[0] - means[1]) / features.std()


@pytest.mark.parametrize("how", [{}, {"balancer": "mgda"}, {"jit_compile": True}])
def test_domains_come_closer_in_training(how, rng):
    x, y = rows(rng)
    gaps = {}
    for name, made in (("none", None), ("mmd", alignment.MMD(domains=2, weight=3.0))):
        model = built(made, **how)
        model.fit(x, y if made else {"sold": y["sold"]}, epochs=30, verbose=0)
        gaps[name] = gap(model, x, y["site"])
    assert gaps["mmd"] < 0.5 * gaps["none"]


def test_balanced_features_are_aligned_as_well(rng):
    x, y = rows(rng)
    y["size"] = x[:, :1]
    gaps = []
    for weight in (0.0, 3.0):
        balancer = keras_mtl.balancing.MGDA(gradients="features")
        model = built(alignment.CORAL(domains=2, weight=weight), balancer=balancer)
        history = model.fit(x, y, epochs=2, verbose=0).history
        gaps.append(history["loss"][0] - history["sold_loss"][0] - history["size_loss"][0])
    assert gaps[0] == pytest.approx(0, abs=1e-4) and gaps[1] > 0.01


def test_the_penalty_is_part_of_the_joint_loss_where_domains_are_told(rng):
    x, y = rows(rng)
    model = built(alignment.MMD(domains=2, weight=2.0))
    whole = model.fit(x, y, batch_size=64, verbose=0, shuffle=False).history
    added = whole["loss"][0] - whole["sold_loss"][0]
    # The features before the step, as another model with the same seed has them.
    fresh = built(alignment.MMD(domains=2, weight=2.0))
    encode = keras.Model(fresh.input, fresh.get_layer("dense_encoder").output)
    features = encode.predict(x, verbose=0)
    expected = 2.0 * float(mmd(*(features[y["site"] == s] for s in range(2))))
    assert added == pytest.approx(expected, rel=1e-3)
    for labels in ({"sold": y["sold"]}, {**y, "site": np.full(64, -1)}):
        history = built(alignment.MMD(domains=2, weight=2.0)).fit(
            x, labels, batch_size=64, verbose=0, shuffle=False
        )
        got = history.history["loss"][0] - history.history["sold_loss"][0]
        assert got == pytest.approx(0.0, abs=1e-6)
    assert model.evaluate(x, y, verbose=0, return_dict=True)["loss"] < 10, "labels may stay in"


def test_it_is_served_without_domains_and_comes_back_from_disk(tmp_path, rng):
    x, y = rows(rng)
    made = alignment.Adversarial(domains=2, units=(4,), steps=20)
    model = built(made)
    data = tf.data.Dataset.from_tensor_slices(({"features": x}, y)).batch(16)
    model.fit(data, epochs=2, verbose=0)
    before = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0)["sold"], before["sold"])
    history = [m.fit(data, epochs=1, verbose=0).history["loss"] for m in (model, loaded)]
    assert history[0] == history[1]
    folder = keras_mtl.export.saved_model(loaded, tmp_path / "served")
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["features"]
    assert set(signature.structured_outputs) == {"sold", "size"}


def test_domains_that_are_none_are_refused(rng):
    x, y = rows(rng)
    model = built(alignment.MMD(domains=2))
    for wrong in (y["site"] + 1, y["site"].astype("float32"), y["site"] - 5):
        with pytest.raises(ValueError, match=r"integers from 0 to 1, or -1 where it is not known"):
            model.fit(x, {**y, "site": wrong}, verbose=0)
    with pytest.raises(ValueError, match=r"names task 'sites'.*did you mean 'site'"):
        model.fit(x, {"sold": y["sold"], "sites": y["site"]}, verbose=0)
    with pytest.raises(ValueError, match=r"such as keras_mtl.alignment.MMD\(domains=2\)"):
        built("mmd")
    with pytest.raises(ValueError, match="'sold'"):
        keras_mtl.build_model(
            encoders.Dense(4, units=[8]),
            [tasks.Binary("sold")],
            alignment={"sold": alignment.MMD(domains=2)},
        )
    made = alignment.MMD(domains=2)
    made.connect(keras.Input((3,)), "site")
    with pytest.raises(ValueError, match="make a new one for each"):
        made.connect(keras.Input((3,)), "other")
