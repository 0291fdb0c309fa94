"""build_model: any Keras model or layer as the encoder."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, tasks


def test_a_keras_model_is_an_encoder_with_its_own_inputs(rng):
    left, right = keras.Input((3,), name="left_in"), keras.Input((2,), name="right_in")
    trunk = keras.Model(
        {"left_in": left, "right_in": right},
        keras.layers.Dense(4)(keras.layers.Concatenate()([left, right])),
    )
    model = keras_mtl.build_model(trunk, [tasks.Binary("a"), tasks.Regression("b")])
    x = {"left_in": rng.normal(size=(8, 3)), "right_in": rng.normal(size=(8, 2))}
    assert {t.name for t in model.inputs} == {"left_in", "right_in"}
    assert model.predict(x, verbose=0)["a"].shape == (8, 1)


def test_a_bare_layer_is_an_encoder_with_inputs_that_are_given():
    layer = keras.layers.GRU(4, return_sequences=True)
    steps = keras.Input((None, 3), name="steps")
    model = keras_mtl.build_model(
        layer, [tasks.SequenceTagging("tag", ["O", "B-x"]), tasks.Binary("any")], inputs=steps
    )
    out = model.predict(np.zeros((2, 5, 3)), verbose=0)
    assert out["tag"].shape == (2, 5, 2) and out["any"].shape == (2, 1)
    with pytest.raises(ValueError, match="does not know its inputs"):
        keras_mtl.build_model(layer, [tasks.Binary("a")])
    with pytest.raises(ValueError, match="is not wanted with Dense"):
        keras_mtl.build_model(encoders.Dense(3), [tasks.Binary("a")], inputs=steps)


def test_names_may_sort_otherwise_than_they_are_given(tmp_path, rng):
    kinds = [tasks.MultiClass("zebra", 2), tasks.MultiClass("ape", 3), tasks.MultiClass("cat", 4)]
    model = keras_mtl.build_model(encoders.Dense(3, units=[4]), kinds)
    model.compile("sgd", loss_weights={"cat": 0.4, "zebra": 0.1, "ape": 0.2})
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for made in (model, loaded):
        assert made.task_names == ["zebra", "ape", "cat"]
        assert made.loss_weights == pytest.approx({"zebra": 0.1, "ape": 0.2, "cat": 0.4})
        widths = {k: v.shape[-1] for k, v in made.predict(np.zeros((1, 3)), verbose=0).items()}
        assert widths == {"zebra": 2, "ape": 3, "cat": 4}


def test_groups_have_an_encoder_each_and_share_within(tmp_path, rng):
    x = rng.normal(size=(16, 4)).astype("float32")
    y = {name: x[:, :1] * (i + 1) for i, name in enumerate("abc")}
    made = [tasks.Regression(name) for name in "abc"]
    trunks = [
        encoders.Dense(4, units=[6]),
        keras.Sequential([keras.Input((4,), name="features"), keras.layers.Dense(6)]),
    ]
    for encoder in trunks:
        model = keras_mtl.build_model(encoder, made, sharing="hard", groups=[["c", "a"], ["b"]])
        assert model.task_names == ["a", "b", "c"], "in the order of the tasks"
        together = {v.path for v in model.shared_variables()}
        assert len(together) == 2
        alone = {v.path for v in model.task_variables("b")}
        assert len(alone) == 4 and not together & alone
        other = next(v for v in model.task_variables("b") if v.shape == (4, 6))
        kernel = next(v for v in model.shared_variables() if v.shape == (4, 6))
        # What comes with weights begins with them in every group.
        assert np.array_equal(other, kernel) == isinstance(encoder, keras.Model)
        model.compile("adam", balancer="upgrad")
        model.fit(x, y, verbose=0)
        assert not np.allclose(other, kernel)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(
            loaded.predict(x, verbose=0)["b"], model.predict(x, verbose=0)["b"]
        )


def test_one_group_is_no_group():
    found = []
    for groups in (None, [["a", "b"]]):
        keras.utils.set_random_seed(1)
        model = keras_mtl.build_model(
            encoders.Dense(4, units=[6]), [tasks.Binary("a"), tasks.Binary("b")], groups=groups
        )
        found.append(model.get_weights())
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_encoder_that_comes_with_weights_has_them_in_every_group(rng):
    """So that a pretrained network is one for all; they are apart from then on."""
    inputs = keras.Input((4,), name="x")
    trained = keras.Model(inputs, keras.layers.Dense(6, name="hidden")(inputs), name="trained")
    model = keras_mtl.build_model(
        trained, [tasks.Binary("a"), tasks.Binary("b")], groups=[["a"], ["b"]]
    )
    one, other = model.get_layer("trained"), model.get_layer("trained_2")
    for w, v in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(w, v)
    other.set_weights([w + 1 for w in other.get_weights()])
    assert not np.array_equal(one.get_weights()[0], other.get_weights()[0])


@pytest.mark.parametrize("groups", [[["a"]], [["a", "b"], ["b"]], [["a", "b"], []], [["a", "x"]]])
def test_groups_that_are_none_are_refused(groups):
    with pytest.raises(ValueError, match=r"each of the tasks \['a', 'b'\] in exactly one group"):
        keras_mtl.build_model(
            encoders.Dense(4, units=[6]), [tasks.Binary("a"), tasks.Binary("b")], groups=groups
        )
