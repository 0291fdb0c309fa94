"""One contract for every balancer: a new one is enrolled by its name."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import balancing
from tests.balancing._gramians import gramian, jacobians
from tests.models import compiled, rows

TASKS = ["a", "b", "c"]


@pytest.fixture(params=balancing.names())
def balancer(request):
    made = balancing.get(request.param)
    made.bind(TASKS)
    return made


def objective(balancer, losses, present=None):
    present = np.ones(len(losses), bool) if present is None else np.array(present)
    return float(balancer.objective(ops.convert_to_tensor(losses, "float32"), present))


@pytest.fixture(params=[n for n in balancing.names() if balancing.get(n).needs == "losses"])
def of_losses(request):
    made = balancing.get(request.param)
    made.bind(TASKS)
    return made


def test_it_gives_a_finite_number_also_of_hard_losses(of_losses):
    for losses in ([1, 2, 3], [0, 0, 0], [1e-8, 1.0, 1e8], [5, 5, 5]):
        assert np.isfinite(objective(of_losses, losses))


def test_an_absent_task_takes_no_part(of_losses):
    """Whatever stands in its place, the rest counts; with nothing present it is 0."""
    keras.utils.set_random_seed(0)
    with_zero = objective(of_losses, [1.5, 0.0, 2.0], [True, False, True])
    assert np.isfinite(with_zero) and with_zero > 0
    assert objective(of_losses, [0.0, 0.0, 0.0], [False] * 3) == 0.0


def test_its_config_makes_it_again(balancer):
    again = balancing.get(keras.saving.serialize_keras_object(balancer))
    assert again.get_config() == balancer.get_config()


def test_it_is_for_one_set_of_tasks(balancer):
    with pytest.raises(ValueError, match="make a new one for each model"):
        balancer.bind(["a", "x"])


@pytest.fixture(scope="module")
def digits():
    return keras_mtl.datasets.multi_digits(train=128, test=16)[0]


def test_it_trains_two_digits_compiled_with_labels_missing_and_is_saved(balancer, digits, tmp_path):
    keras.utils.set_random_seed(1)
    labels = {name: values[:128].copy() for name, values in digits.labels.items()}
    labels["left"][:32] = -1  # the whole first batch
    images = digits.inputs["image"][:128]
    inputs = keras.Input(images.shape[1:], name="image")
    hidden = keras.layers.Dense(16, activation="relu")(keras.layers.Flatten()(inputs))
    outputs = {n: keras.layers.Dense(10, activation="softmax")(hidden) for n in ("left", "right")}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
        balancer=type(balancer)(),
        jit_compile=True,
    )
    history = model.fit(images, labels, batch_size=32, epochs=6, verbose=0, shuffle=False).history
    assert history["right_loss"][-1] < history["right_loss"][0]
    assert all(np.isfinite(w).all() for w in model.get_weights())
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded.balancer) is type(balancer)
    for one, two in zip(model.balancer.variables, loaded.balancer.variables, strict=True):
        np.testing.assert_array_equal(one, two)
    # What is loaded goes on as what was saved would have.
    batch = (images[32:64], {name: values[32:64] for name, values in labels.items()})
    for goes_on in (model, loaded):
        goes_on.run_eagerly = True
        goes_on.make_train_function(force=True)
        goes_on.train_on_batch(*batch)
    for one, two in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)


def test_one_task_alone(balancer):
    x, y = rows(16)
    alone = compiled().task_model("a_kind")
    alone.compile(
        "sgd",
        loss="sparse_categorical_crossentropy",
        balancer=type(balancer)(),
        run_eagerly=True,
    )
    before = [v.numpy() for v in alone.trainable_variables]
    alone.fit(x, {"a_kind": y["a_kind"]}, verbose=0)
    after = [v.numpy() for v in alone.trainable_variables]
    assert all(np.isfinite(v).all() for v in after)
    assert any((b != a).any() for b, a in zip(before, after, strict=True))


@pytest.fixture(params=[n for n in balancing.names() if balancing.get(n).parts > 1])
def of_parts(request):
    return type(balancing.get(request.param))


@pytest.mark.parametrize("k", [1, 2, 5, 16, 40])
def test_gradients_of_parts_give_finite_weights_whatever_they_are(of_parts, k):
    made = of_parts()
    made.bind([f"t{i}" for i in range(k)])
    for kind, jacobian in jacobians(k).items():
        rows_ = np.concatenate([jacobian[:, np.roll(range(12), p)] for p in range(made.parts)])
        weights = np.asarray(made.weigh(gramian(rows_), np.ones(k, "float32"), np.ones(k, bool)))
        assert weights.shape == (made.parts * k,)
        assert np.isfinite(weights).all() and np.isfinite(weights @ rows_).all(), kind


def test_a_task_that_is_absent_from_a_part_has_no_say(of_parts):
    jacobian = jacobians(5)["random"]
    present = np.array([True, False, True, True, False])
    parts = [jacobian[:, np.roll(range(12), p)] for p in range(of_parts.parts)]
    got, alone = of_parts(), of_parts()
    got.bind(list("abcde"))
    alone.bind(list("acd"))
    for _ in range(2):
        weights = np.asarray(
            got.weigh(gramian(np.concatenate(parts)), np.ones(5, "float32"), present)
        )
        fewer = gramian(np.concatenate([part[present] for part in parts]))
        others = np.asarray(alone.weigh(fewer, np.ones(3, "float32"), np.ones(3, bool)))
        weights = weights.reshape(-1, 5)
        assert not weights[:, ~present].any()
        np.testing.assert_allclose(weights[:, present], others.reshape(-1, 3), rtol=2e-3, atol=2e-3)
    none = np.asarray(got.weigh(gramian(np.concatenate(parts)), np.ones(5), np.zeros(5, bool)))
    assert not none.any()


def test_no_two_balancers_of_losses_are_the_same_method():
    """Equal and static without alphas are one by definition; all others differ on these losses."""
    found = {}
    for name in balancing.names():
        made = balancing.get(name)
        made.bind(TASKS)
        if made.needs != "losses":
            continue
        if name == "static":
            made.alphas = {"a": 0.5}
        if name == "dwa":
            made.last.assign([1.0, 2.0, 3.0])
            made.before.assign([2.0, 2.0, 2.0])
        if name == "uncertainty":
            made.log_variances.assign([0.3, 0.0, -0.3])
        if name == "imtl_l":
            made.log_scales.assign([0.3, 0.0, -0.3])
        found[name] = round(objective(made, [1.0, 2.0, 4.0]), 6)
    assert len(set(found.values())) == len(found)
