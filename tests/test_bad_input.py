"""Bad input at the door: one sentence that names the task, what was expected, what came, the mend."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import data, encoders, sharing, tasks
from tests.models import LOSSES, compiled, functional, rows

NAN = float("nan")


def heads(*kinds):
    return keras_mtl.build_model(encoders.Dense(6, units=[4]), list(kinds))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heads(tasks.Binary("a"), tasks.Binary("a")), r"'a' is given 2 times"),
        (lambda: heads(tasks.Binary("features")), r"name of an input"),
        (lambda: tasks.Binary("a/b"), r"'a/b' cannot be used in a SavedModel"),
        (lambda: tasks.Binary("signatures"), r"'signatures' is taken in every SavedModel"),
        (lambda: heads(), r"at least one task"),
        (lambda: tasks.MultiClass("a", classes=["x", "x"]), r"at least two different names"),
        (lambda: tasks.Binary("a", classes=["x", "y", "z"]), r"expected two, negative first"),
        (lambda: tasks.Binary("a", focal_gamma=-1), r"gamma that is not negative"),
        (lambda: tasks.Binary("a", class_weight={"maybe": 2}), r"gives class 'maybe'"),
        (lambda: tasks.Regression("a", loss="l3"), r"loss='l3'.*expected"),
        (lambda: tasks.Binary("a", tower=tasks.Tower(pooling="sum")), r"'sum'; expected 'attention'"),
        (lambda: heads(tasks.SequenceTagging("a", ["O", "B-x"])), r"needs features of shape"),
        (lambda: encoders.Text([]), r"expected at least one"),
        (lambda: encoders.Text(["a"], kind="lstm"), r"'lstm'; expected 'bilstm', 'cnn'"),
        (lambda: encoders.Image((8, 8, 1), kind="resnet5"), r"did you mean 'resnet'"),
        (lambda: encoders.Dense(0), r"`features` of encoders.Dense is 0"),
        (lambda: sharing.get("hart"), r"did you mean 'hard'"),
        (lambda: keras_mtl.balancing.get("uncertain"), r"did you mean 'uncertainty'"),
        (lambda: keras_mtl.balancing.DWA(temperature=0), r"expected a positive number"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_answered(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: keras_mtl.build_model("bilstm", [tasks.Binary("a")]), r"`encoder` came as 'bilstm'"),
        (lambda: heads("intent"), r"expected objects of keras_mtl.tasks"),
        (lambda: keras_mtl.MultiTaskModel(keras.Input((2,)), [1]), r"`outputs` must be a dict"),
        (lambda: keras_mtl.balancing.get(3), r"must be a name or a keras_mtl.balancing object"),
        (lambda: functional().compile("sgd", loss=dict(LOSSES), loss_weights=[1, 2, 3]), r"by position"),
    ],
)  # fmt: skip
def test_what_is_of_the_wrong_type_is_answered(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": {"a_kin": "mse"}}, r"`loss` names task 'a_kin'.*did you mean 'a_kind'"),
        ({"loss_weights": {"price": 1}}, r"`loss_weights` names task 'price'"),
        ({"loss_weights": {"a_kind": -1}}, r"'a_kind' is -1; expected a finite number"),
        ({"loss_weights": {"a_kind": NAN}}, r"'a_kind' is nan; expected a finite number"),
        ({"metrics": {"b": "mae"}}, r"`metrics` names task 'b'"),
        ({"learning_rate_multipliers": {"trunk": 1}}, r"names task 'trunk'"),
        ({"learning_rate_multipliers": {"shared": -1}}, r"expected a finite number"),
    ],
)
def test_what_cannot_be_compiled_is_answered(arguments, message):
    with pytest.raises(ValueError, match=message):
        functional().compile("sgd", **{"loss": dict(LOSSES), **arguments})


def changed(name, value):
    x, y = rows(8)
    return x, {**y, name: value}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: changed("a_kint", np.zeros(8)), r"`labels` names task 'a_kint'.*'a_kind'"),
        (lambda: changed("a_kind", np.full(8, 3)), r"'a_kind': label 3 is not a class id from 0 to 2"),
        (lambda: changed("a_kind", np.full(8, -1)), r"All 8 labels of task 'a_kind' are missing"),
        (lambda: changed("m_sold", np.full((8, 1), NAN)), r"All 8 labels of task 'm_sold' are missing"),
        (lambda: changed("a_kind", np.zeros(7, int)), r"labels of task 'a_kind': 7"),
        (lambda: (np.zeros((0, 6)), {k: v[:0] for k, v in rows(8)[1].items()}), r"no row to learn from"),
        (lambda: (np.where(np.eye(8, 6) > 0, NAN, 0), rows(8)[1]), r"Input 'x' has nan in row 0"),
        (lambda: (np.where(np.eye(8, 6) > 0, np.inf, 0), rows(8)[1]), r"Input 'x' has inf in row 0"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_learnt_from_are_answered(given, message):
    model = compiled()
    before = model.get_weights()
    x, y = given()
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("task", "labels", "message"),
    [
        (tasks.MultiClass("t", ["cat", "dog"]), np.array([0, 2, 1]), r"label 2 is not a class id"),
        (tasks.MultiClass("t", ["cat", "dog"]), np.array(["cat", "dog", "cat"]), r"expected class ids"),
        (tasks.MultiClass("t", ["cat", "dog"]), np.array([0.5, 1, 0]), r"label 0.5 is not a class id"),
        (tasks.MultiLabel("t", 3), np.zeros((3, 2)), r"expected \(rows, 3\)"),
        (tasks.Regression("t", 2), np.zeros((3, 3)), r"expected numbers of shape \(rows, 2\)"),
        (tasks.Regression("t"), np.array([1, np.inf, 2]), r"row 1 is infinite"),
        (tasks.Ordinal("t", 4), np.array([4, 1, 0]), r"label 4 is not a class id from 0 to 3"),
    ],
)  # fmt: skip
def test_labels_that_a_task_cannot_have_are_answered(task, labels, message):
    model = heads(task)
    model.compile("sgd")
    with pytest.raises(ValueError, match=message):
        model.fit(np.zeros((3, 6), "float32"), {"t": labels}, verbose=0)


def test_class_weights_that_do_not_say_whose_they_are():
    x, y = rows(8)
    model = compiled()
    with pytest.raises(TypeError, match="must say which task it is for"):
        model.fit(x, y, class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="names class 7; expected class ids from 0 to 2"):
        model.fit(x, y, class_weight={"a_kind": {7: 1.0}}, verbose=0)
    with pytest.raises(ValueError, match="negative"):
        model.fit(x, y, sample_weight={"a_kind": -np.ones(8)}, verbose=0)


def test_data_sets_are_checked_by_what_they_say_of_themselves():
    x, y = rows(8)
    model = compiled()
    unlabelled = data.Examples({"x": x}, {}).dataset(4).map(lambda inputs, labels: inputs)
    with pytest.raises(ValueError, match="inputs without labels"):
        model.fit(unlabelled, verbose=0)
    unknown = data.Examples({"x": x}, {"kind": y["a_kind"]}).dataset(4)
    with pytest.raises(ValueError, match=r"names task 'kind'.*did you mean 'a_kind'"):
        model.fit(unknown, verbose=0)
    with pytest.raises(ValueError, match="The data set is empty"):
        model.fit(data.Examples({"x": x}, y).dataset(4).take(0), verbose=0)


def test_a_generator_cannot_tell_scales_beforehand_but_adapt_can(rng):
    x, price = rng.normal(size=(8, 6)).astype("float32"), np.arange(8) * 100.0

    def batches():
        while True:
            yield x, {"price": price}

    model = heads(tasks.Regression("price"))
    model.compile("sgd")
    with pytest.raises(ValueError, match=r"call `model.adapt"):
        model.fit(batches(), steps_per_epoch=1, verbose=0)
    model.adapt({"price": price})
    model.fit(batches(), steps_per_epoch=1, verbose=0)
    assert model.get_layer("price").state["mean"].numpy() == pytest.approx(350.0)


def test_a_tabular_encoder_takes_missing_values_where_others_refuse_them():
    table = {"age": np.array([30.0, NAN, 50.0, 40.0]), "job": np.array(["a", "", "b", "a"])}
    encoder = encoders.Tabular.infer(table, units=[4])
    model = keras_mtl.build_model(encoder, [tasks.Binary("buys")])
    model.compile("sgd")
    labels = {"buys": np.array([0, 1, 1, 0])}
    history = model.fit(table, labels, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    infinite = {**table, "age": np.array([30.0, np.inf, 50.0, 40.0])}
    with pytest.raises(ValueError, match="Input 'age' has inf in row 1"):
        model.fit(infinite, labels, verbose=0)
