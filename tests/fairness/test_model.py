"""Fairness in a model: what training does with it, what serving does not, and strength 0."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, fairness, tasks
from keras_mtl.alignment.mmd import mmd


def rows(rng, count=128):
    """Labels that go with the group; the group is to be seen in the inputs."""
    sex = rng.integers(0, 2, count).astype("int32")
    x = rng.normal(size=(count, 4)).astype("float32")
    x[:, 1] += 2.0 * sex
    hired = (x[:, 0] + 1.5 * sex + 0.3 * rng.normal(size=count) > 0.75).astype("int32")
    return x, {"hired": hired, "pay": x[:, :1] + 0.1, "sex": sex}


def built(loss=None, policy="float32", jit_compile=False, **kwargs):
    keras.utils.set_random_seed(2)
    made = [tasks.Binary("hired"), tasks.Regression("pay", scaling=None)]
    encoder = encoders.Dense(4, units=[8], dtype=policy)
    model = keras_mtl.build_model(encoder, made, fairness=None if loss is None else {"hired": loss})
    model.compile(keras.optimizers.Adam(0.02), jit_compile=jit_compile, **kwargs)
    return model


def fitted(model, x, y, epochs=20, **kwargs):
    labels = {name: y[name] for name in model.label_names}
    model.fit(x, labels, epochs=epochs, batch_size=64, verbose=0, shuffle=False, **kwargs)
    return model


def gap(model, x, y):
    chance = model.predict(x, verbose=0)["hired"][:, 0]
    return abs(chance[y["sex"] == 0].mean() - chance[y["sex"] == 1].mean())


@functools.cache
def plain_gap():
    x, y = rows(np.random.default_rng(0))
    return gap(fitted(built(), x, y), x, y)


@pytest.mark.parametrize(
    "how",
    [
        {"jit_compile": True, "policy": "mixed_float16"},
        {"balancer": "cagrad"},
        {"balancer": keras_mtl.balancing.MGDA(gradients="features")},
    ],
)
def test_scores_come_closer_in_training(how, rng):
    x, y = rows(rng)
    plain = plain_gap()
    fair = gap(fitted(built(fairness.MMD("sex", groups=2, strength=3.0), **how), x, y), x, y)
    assert fair < 0.5 * plain and plain > 0.3


@pytest.mark.parametrize("how", [{}, {"jit_compile": True, "policy": "mixed_float16"},
                                 {"balancer": "pcgrad"}])  # fmt: skip
def test_strength_0_is_the_plain_model_to_the_last_bit(how, rng):
    x, y = rows(rng)
    losses = (None, fairness.MMD("sex", groups=2, strength=0.0))
    models = [fitted(built(loss, **how), x, y, epochs=2) for loss in losses]
    plain, zero = (model.get_weights() for model in models)
    assert len(plain) == len(zero)
    for one, other in zip(plain, zero, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_added_loss_is_the_discrepancy_of_the_logits(rng):
    x, y = rows(rng)
    model = built(fairness.MMD("sex", groups=2, strength=2.0), run_eagerly=True)
    chance = model.predict(x, verbose=0)["hired"].astype("float64")
    logits = np.log(chance / (1 - chance)).astype("float32")
    expected = 2.0 * float(mmd(*(logits[y["sex"] == s] for s in (0, 1)), estimate="unbiased"))

    def extra(labels):
        logs = model.fit(x, labels, batch_size=128, verbose=0, shuffle=False).history
        return logs["loss"][0] - logs["hired_loss"][0] - logs["pay_loss"][0]

    found = extra(y)
    assert found == pytest.approx(expected, rel=1e-3) and found > 0.01
    assert extra({**y, "sex": np.full(128, -1)}) == pytest.approx(0, abs=1e-6)
    assert extra({k: v for k, v in y.items() if k != "sex"}) == pytest.approx(0, abs=1e-6)
    whole = model.evaluate(x, y, batch_size=128, verbose=0, return_dict=True)
    assert whole["loss"] == pytest.approx(whole["hired_loss"] + whole["pay_loss"], rel=1e-5)


def test_it_is_served_without_groups_and_comes_back_from_disk(tmp_path, rng):
    x, y = rows(rng)
    losses = [fairness.MMD("sex"), fairness.MMD("sex", criterion="equalized_odds")]
    model = built(losses)
    data = tf.data.Dataset.from_tensor_slices(({"features": x}, y)).batch(32)
    model.fit(data, epochs=1, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    before, after = (m.predict(x, verbose=0)["hired"] for m in (model, loaded))
    np.testing.assert_array_equal(before, after)
    assert loaded.label_names == ["hired", "pay", "sex"]
    history = [m.fit(data, epochs=1, verbose=0).history["loss"] for m in (model, loaded)]
    assert history[0] == history[1]
    folder = keras_mtl.export.saved_model(loaded, tmp_path / "served")
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    assert list(signature.structured_input_signature[1]) == ["features"]
    served = signature(features=tf.constant(x))["hired"]
    np.testing.assert_allclose(served, loaded.predict(x, verbose=0)["hired"], rtol=1e-5)
    assert set(loaded.task_model("hired").layers_of("hired")) >= {
        loaded.get_layer(f"hired_{c}_of_sex") for c in ("demographic_parity", "equalized_odds")
    }


def test_an_input_may_have_the_name_of_the_label(rng):
    _, y = rows(rng)
    table = {"sex": np.where(y["sex"], "m", "f").astype(object), "age": np.arange(128.0)}
    model = keras_mtl.build_model(
        encoders.Tabular.infer(table, units=[4]),
        [tasks.Binary("hired")],
        fairness={"hired": fairness.MMD("sex", groups=2)},
    )
    model.compile("sgd", run_eagerly=True)
    history = model.fit(table, {"hired": y["hired"], "sex": y["sex"]}, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_a_head_that_reads_the_scores_reads_them_as_they_are(rng):
    x, _ = rows(rng)
    model = keras_mtl.build_model(
        encoders.Dense(4, units=[8]),
        [tasks.Binary("buy", given="click"), tasks.Binary("click")],
        fairness={name: fairness.MMD("sex") for name in ("buy", "click")},
        groups=[["buy"], ["click"]],
    )
    out = {name: keras.ops.convert_to_numpy(v) for name, v in model(x, training=True).items()}
    assert (out["buy"] <= out["click"]).all() and model.label_names == ["buy", "click", "sex"]


def test_what_does_not_go_with_the_tasks_is_refused(rng):
    x, y = rows(rng)
    with pytest.raises(ValueError, match=r"`fairness` names task 'hird'.*did you mean 'hired'"):
        keras_mtl.build_model(
            encoders.Dense(4), [tasks.Binary("hired")], fairness={"hird": fairness.MMD("sex")}
        )
    with pytest.raises(TypeError, match="expected losses by task"):
        keras_mtl.build_model(
            encoders.Dense(4), [tasks.Binary("hired")], fairness=fairness.MMD("sex")
        )
    with pytest.raises(ValueError, match="'pay' is given 2 times"):
        built(fairness.MMD("pay"))
    with pytest.raises(TypeError, match=r"must be a name or a keras_mtl\.fairness object"):
        built(3)
    for wrong in (y["sex"] + 1, y["sex"].astype("float32")):
        with pytest.raises(ValueError, match="integers from 0 to 1, or -1 where it is not known"):
            built(fairness.MMD("sex")).fit(x, {**y, "sex": wrong}, verbose=0)
