"""How much of a step each layer takes: by name, by path, and layer by layer from the top."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import sharing, tasks, transfer
from tests.transfer._models import dense, image, rows, text, values


def shares(make, rates):
    """How far each layer goes with these rates, over how far it goes without."""
    far = []
    for given in (None, rates):
        model = make()
        before = values(model)
        model.compile(keras.optimizers.SGD(0.01), run_eagerly=True, learning_rate_multipliers=given)
        model.train_on_batch(*rows(model))
        far.append(
            {
                name: np.linalg.norm(value - before[name])
                for name, value in values(model).items()
                if name.endswith("kernel")
            }
        )
    return {name.removesuffix("/kernel"): far[1][name] / plain for name, plain in far[0].items()}


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"shared": 0.5, "sold": 2.0}, [0.5, 0.5, 0.5, 2.0]),
        ({"dense_encoder": 0.5, "shared": 0.1}, [0.5, 0.5, 0.5, 1.0]),
        ({"dense_1": 0.25, "dense_encoder": 0.5}, [0.5, 0.25, 0.5, 1.0]),
        ({"dense_encoder/dense_*": 0.25, "dense_2": 1.0}, [0.25, 0.25, 1.0, 1.0]),
        ({"dense_*": 0.5, "dense_encoder/dense_*": 0.25, "dense_0": 0.0}, [0.0, 0.25, 0.25, 1.0]),
        ({"dense_[01]": 0.5, "dense_0": 0.5, "sold_scores": 0.5, "sold": 3.0},
         [0.5, 0.5, 1.0, 0.5]),
    ],
)  # fmt: skip
def test_what_tells_most_about_a_layer_goes_first(rates, expected):
    got = shares(dense, rates)
    names = [*(f"dense_encoder/dense_{i}" for i in range(3)), "sold_scores"]
    np.testing.assert_allclose([got[name] for name in names], expected, rtol=1e-4)


def test_rates_fall_from_the_top_of_the_trunk_by_the_papers_factor():
    assert transfer.layer_wise_rates(dense()) == pytest.approx(
        {f"dense_encoder/dense_{i}": 2.6 ** (i - 3) for i in range(3)}
    )
    stages = {
        "stage_0_conv": 3,
        "stage_0_norm": 3,
        "stage_1_conv": 2,
        "stage_1_norm": 2,
        "dense": 1,
    }
    assert transfer.layer_wise_rates(image(), 2) == {
        f"image_encoder/trunk/{name}": 2.0**-depth for name, depth in stages.items()
    }
    assert transfer.layer_wise_rates(text(), 3) == pytest.approx(
        {"text_encoder/words": 1 / 9, "text_encoder/context": 1 / 3}
    )
    assert set(transfer.layer_wise_rates(dense(), 1).values()) == {1.0}


def test_a_step_is_as_long_as_the_rates_say():
    rates = transfer.layer_wise_rates(image(), decay=4)
    got = shares(image, {**rates, "sold": 2.0})
    for name, share in got.items():
        expected = rates.get(name, 2.0 if name == "sold_scores" else 1.0)
        assert share == pytest.approx(expected, rel=1e-3), name


def test_layers_that_mix_tasks_are_above_the_encoder_and_a_new_task_stands_on_all():
    model = keras_mtl.build_model(
        keras_mtl.encoders.Dense(6, units=[4, 3]),
        [tasks.Binary("sold"), tasks.Regression("price")],
        sharing.MMoE(experts=2, units=[3], name="mixture"),
    )
    rates = transfer.layer_wise_rates(model, 2)
    assert rates == {
        "dense_encoder/dense_0": 0.125, "dense_encoder/dense_1": 0.25, "mixture": 0.5
    }  # fmt: skip
    new = dense().new_task(tasks.Binary("west"))
    assert list(transfer.layer_wise_rates(new)) == list(transfer.layer_wise_rates(dense()))


def test_layers_that_are_frozen_at_first_have_their_rate_once_they_are_thawed():
    """And two encoders whose layers are called the same are told apart."""
    x = {n: keras.Input((6, 6, 1), name=n) for n in ("one", "two")}
    both = [
        keras_mtl.encoders.Image((6, 6, 1), filters=[2], units=3, name=f"of_{n}")(x[n]) for n in x
    ]
    hidden = keras.layers.Concatenate()(both)
    model = keras_mtl.MultiTaskModel(
        x, {n: tasks.Regression(n).head(hidden) for n in ("price", "size")}
    )
    transfer.freeze(model, "shared")
    model.compile(
        keras.optimizers.SGD(0.1),
        run_eagerly=True,
        learning_rate_multipliers={"of_one": 0.0, "of_two/trunk/dense": 0.5},
    )
    transfer.unfreeze(model, "shared")
    before = values(model)
    rng = np.random.default_rng(0)
    inputs = {n: rng.normal(size=(8, 6, 6, 1)).astype("float32") for n in x}
    labels = {n: rng.normal(size=(8, 1)) for n in model.task_names}
    model.train_on_batch(inputs, labels)
    after = values(model)
    assert (after["of_one/trunk/dense/kernel"] == before["of_one/trunk/dense/kernel"]).all()
    assert (after["of_two/trunk/dense/kernel"] != before["of_two/trunk/dense/kernel"]).any()


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"dense_1*": 0.5, "*_1": 0.1}, r"says \{.*\} of the layer 'dense_encoder/dense_1'"),
        ({"dense_9": 0.5}, r"names task 'dense_9' or layers like it"),
        ({"dense_1": -1.0}, "expected a finite number"),
    ],
)
def test_what_is_unknown_or_contradicts_itself_is_refused(rates, message):
    with pytest.raises(ValueError, match=message):
        dense().compile("sgd", learning_rate_multipliers=rates)


def test_what_has_no_rates_is_refused():
    for decay in (0.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="expected 1 or more"):
            transfer.layer_wise_rates(dense(), decay)
    x = keras.Input((3,), name="x")
    apart = keras_mtl.MultiTaskModel(x, {n: keras.layers.Dense(1)(x) for n in ("a", "b")})
    with pytest.raises(ValueError, match=r"no layer with weights below the heads of \['a', 'b'\]"):
        transfer.layer_wise_rates(apart)
