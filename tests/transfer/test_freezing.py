"""What is frozen stays, what is thawed moves, and files tell which is which."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, tasks, transfer
from tests.transfer._models import dense, image, moved, rows, text, values


def trained(model, **kwargs):
    """What a step moves."""
    before = values(model)
    if not model.compiled:
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True, **kwargs)
    model.train_on_batch(*rows(model))
    return moved(before, values(model))


@pytest.mark.parametrize(
    ("make", "what", "touched"),
    [
        (dense, "shared", ["dense_encoder"]),
        (dense, "sold", ["sold_scores"]),
        (dense, "dense_1", ["dense_encoder/dense_1"]),
        (dense, "dense_[01]", ["dense_encoder/dense_0", "dense_encoder/dense_1"]),
        (dense, ["price", "dense_encoder/dense_2"], ["price_scores", "dense_encoder/dense_2"]),
        (image, "trunk/stage_1*", [f"image_encoder/trunk/stage_1_{x}" for x in ("conv", "norm")]),
        (image, "image_encoder/*", ["image_encoder/trunk"]),
        (text, "attention_0", ["text_encoder/context/attention_0"]),
        (text, "attention_?/query",
         [f"text_encoder/context/attention_{i}/query" for i in range(2)]),
    ],
)  # fmt: skip
def test_names_paths_and_patterns_freeze_what_they_stand_for(make, what, touched):
    model = make()
    every = {id(v): v.path for v in model.trainable_variables}
    assert transfer.freeze(model, what) == touched
    places = {p.path: p.layer for p in keras_mtl._layers_by_name.places(model)}
    frozen = {id(v) for path in touched for v in places[path].weights}
    assert frozen & set(every) and {id(v) for v in model.trainable_variables} == set(every) - frozen
    assert transfer.unfreeze(model, what) == touched
    assert [v.path for v in model.trainable_variables] == list(every.values())


def test_a_step_moves_what_is_not_frozen_and_statistics_stay_with_their_layer():
    model = image()
    transfer.freeze(model, "stage_0*")
    got = trained(model)
    assert {name.split("/")[2] for name in got if "trunk" in name} == {
        "stage_1_conv", "stage_1_norm", "dense"
    }  # fmt: skip
    assert "image_encoder/trunk/stage_1_norm/moving_mean" in got
    assert {"sold_scores/kernel", "price_scores/kernel"} <= got


def test_a_layer_is_thawed_alone_in_an_encoder_that_is_frozen():
    model = image()
    transfer.freeze(model, ["shared", "price"])
    assert transfer.unfreeze(model, "stage_1_conv") == ["image_encoder/trunk/stage_1_conv"]
    assert trained(model) == {
        "image_encoder/trunk/stage_1_conv/kernel", "sold_scores/kernel", "sold_scores/bias"
    }  # fmt: skip
    assert [v.path for v in model.shared_variables()] == ["stage_1_conv/kernel"]


def test_what_was_frozen_by_keras_is_thawed_layer_by_layer_too():
    """Keras hides the layers of a frozen one, but does not always tell them so."""
    encoder = encoders.Dense(6, units=[8, 7], trainable=False)
    model = keras_mtl.build_model(encoder, [tasks.Binary("sold"), tasks.Regression("price")])
    transfer.unfreeze(model, "dense_1")
    assert len(model.shared_variables()) == 2 and model.shared_variables()[0].shape == (8, 7)
    model.trainable = False
    transfer.unfreeze(model, "sold")
    assert [v.path for v in model.trainable_variables] == ["sold_scores/kernel", "sold_scores/bias"]


@keras.saving.register_keras_serializable("tests")
class Both(keras.layers.Layer):
    """A weight of its own, and a layer inside."""

    def build(self, shape):
        self.scale = self.add_weight((shape[-1],), "ones", name="scale")
        self.inside = keras.layers.Dense(4, name="inside")
        self.inside.build(shape)

    def call(self, inputs):
        return self.inside(inputs * self.scale)


def test_own_weights_of_a_layer_stay_frozen_where_one_inside_of_it_is_thawed(tmp_path):
    x = keras.Input((6,), name="features")
    model = keras_mtl.MultiTaskModel(x, {"price": keras.layers.Dense(1)(Both(name="both")(x))})
    transfer.freeze(model, "both")
    assert transfer.unfreeze(model, "both/inside") == ["both/inside"]
    wanted = ["both/inside/kernel", "both/inside/bias", "dense/kernel", "dense/bias"]
    assert [v.path for v in model.trainable_variables] == wanted
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert [v.path for v in loaded.trainable_variables] == wanted
    transfer.unfreeze(loaded, "both")
    assert len(loaded.trainable_variables) == 5


def test_a_compiled_step_takes_notice():
    model = dense()
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    x, y = rows(model)
    model.fit(x, y, verbose=0)
    transfer.freeze(model, "dense_encoder")
    before = values(model)
    model.fit(x, y, verbose=0)
    assert not any(name.startswith("dense_encoder") for name in moved(before, values(model)))
    transfer.unfreeze(model, "dense_0")
    before = values(model)
    model.fit(x, y, verbose=0)
    got = moved(before, values(model))
    assert {name for name in got if name.startswith("dense_encoder")} == {
        "dense_encoder/dense_0/kernel", "dense_encoder/dense_0/bias"
    }  # fmt: skip


def test_the_shared_part_of_a_model_of_one_task_is_what_its_head_stands_on():
    model = dense().new_task(tasks.MultiClass("kind", 3, tower=(4,)))
    assert transfer.freeze(model, "shared") == ["dense_encoder"]
    own = {v.path for v in model.trainable_variables}
    assert own == {f"kind_{x}/{v}" for x in ("dense_0", "scores") for v in ("kernel", "bias")}
    assert {v.path for v in model.task_variables("kind")} == own
    # An encoder that is called like the task is none of its layers.
    alone = keras_mtl.build_model(encoders.Dense(6, units=[3]), [tasks.Binary("dense")])
    assert transfer.freeze(alone, "dense") == ["dense_scores"]
    assert [x.name for x in alone.layers_of("dense") if x.weights] == ["dense_scores"]


def test_a_new_task_stands_where_the_only_task_stood_and_not_on_its_answers():
    alone = keras_mtl.build_model(encoders.Dense(6, units=[3]), [tasks.Binary("sold")])
    new = alone.new_task(tasks.Regression("size"))
    assert new.get_layer("size_scores").kernel.shape == (3, 1)
    assert not [x.name for x in new.layers if x.name.startswith("sold")]


@pytest.mark.parametrize("compiled", [False, True])
def test_files_tell_what_is_frozen_and_training_goes_on_as_it_would(tmp_path, compiled):
    """The optimizer was built for all weights before some were frozen: its state comes back whole."""
    model = image()
    x, y = rows(model)
    if compiled:
        model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
        model.train_on_batch(x, y)
    transfer.freeze(model, ["stage_0*", "price"])
    if not compiled:
        model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert [v.path for v in loaded.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    for one in (model, loaded):
        one.train_on_batch(x, y)
    ours, its = values(model), values(loaded)
    for name, value in ours.items():
        np.testing.assert_allclose(its[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    assert not moved({k: v for k, v in ours.items() if "stage_0" in k}, its)
    twin = type(model).from_config(model.get_config())
    assert len(twin.trainable_variables) == len(model.trainable_variables)


def test_what_stands_for_nothing_or_for_two_things_is_refused():
    model = dense()
    with pytest.raises(ValueError, match=r"names task 'dense_3' or layers.*did you mean 'dense_"):
        transfer.freeze(model, "dense_3")
    with pytest.raises(ValueError, match="names task 'features'"):
        transfer.freeze(model, "features")  # an input
    with pytest.raises(ValueError, match="names task 'encoder/dense_1'"):
        transfer.unfreeze(model, "encoder/dense_1")
    with pytest.raises(ValueError, match="`what` is empty"):
        transfer.freeze(model, [])
    with pytest.raises(TypeError, match="holds 3 of type int"):
        transfer.freeze(model, ["shared", 3])
    assert len(model.trainable_variables) == 10, "nothing was frozen"
    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, name="price")(x)
    own = keras_mtl.MultiTaskModel(
        x, {"price": keras.layers.Dense(1)(hidden), "sold": keras.layers.Dense(1)(hidden)}
    )
    with pytest.raises(ValueError, match="'price', which is a task and also a layer"):
        transfer.freeze(own, "price")


def test_an_optimizer_that_was_built_without_a_layer_says_so():
    model = dense()
    transfer.freeze(model, "shared")
    trained(model)
    transfer.unfreeze(model, "dense_2")
    with pytest.raises(
        ValueError, match=r"built without \['dense_encoder/dense_2/kernel'.*Unfreeze"
    ):
        model.train_on_batch(*rows(model))
    model.compile("sgd", run_eagerly=True)
    model.train_on_batch(*rows(model))


@keras.saving.register_keras_serializable("tests")
class Unnamed(keras.layers.Layer):
    """Layers inside that Keras names, in each process as it comes."""

    def build(self, shape):
        self.first, self.second = keras.layers.Dense(4), keras.layers.Dense(3)
        self.first.build(shape)
        self.second.build((None, 4))

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_files_do_not_count_on_names_that_keras_gives(tmp_path):
    x = keras.Input((6,), name="features")
    model = keras_mtl.MultiTaskModel(x, {"price": keras.layers.Dense(1)(Unnamed(name="u")(x))})
    frozen = transfer.freeze(model, f"u/{model.get_layer('u').first.name}")
    assert len(frozen) == 1
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    inside = loaded.get_layer("u")
    assert not inside.first.trainable and inside.second.trainable and inside.trainable
    assert inside.first.name != model.get_layer("u").first.name
    config = model.get_config()
    config["layer_states"]["of"] += 1
    with pytest.raises(ValueError, match="tells of 5 layers with weights, but the model has 4"):
        type(model).from_config(config)
