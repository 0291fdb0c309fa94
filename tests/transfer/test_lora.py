"""Low-rank updates: the formula, what is trained, balancers, and the way into files and back."""

import keras
import numpy as np
import pytest

from keras_mtl import _dense_gradients, _graph, balancing, transfer
from keras_mtl._by_name import texts_as_tensors
from keras_mtl._layers_by_name import places
from keras_mtl._lora import adapted_in
from tests.transfer._models import dense, image, moved, rows, text, values

ATTENTION = [
    f"text_encoder/context/attention_{i}/{x}"
    for i in range(2)
    for x in ("query", "key", "value", "attention_output")
]


def adapted(make, **kwargs):
    """A model with updates, compiled."""
    model = make()
    paths = transfer.enable_lora(model, **{"rank": 2, **kwargs})
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    return model, paths


def predicted(model, x):
    """Not by `predict`, which would compile."""
    return {task: y.numpy() for task, y in model(texts_as_tensors(x), training=False).items()}


def same(one, two, **tolerance):
    for task in one:
        np.testing.assert_allclose(
            one[task], two[task], **{"rtol": 1e-5, "atol": 1e-6, **tolerance}
        )


@pytest.mark.parametrize(
    ("make", "layers", "expected"),
    [
        (dense, "shared", [f"dense_encoder/dense_{i}" for i in range(3)]),
        (dense, ["dense_1", "sold"], ["dense_encoder/dense_1", "sold_scores"]),
        (image, "shared", [f"image_encoder/trunk/{x}" for x in ("stage_0_conv", "stage_1_conv", "dense")]),
        (text, "attention_*", ATTENTION),
        (text, ["words", "attention_0/query"], ["text_encoder/words", ATTENTION[0]]),
    ],
)  # fmt: skip
def test_updates_are_all_that_is_trained_and_nothing_changes_at_first(make, layers, expected):
    model = make()
    x, y = rows(model)
    before, first = predicted(model, x), values(model)
    assert transfer.enable_lora(model, rank=2, layers=layers) == sorted(
        expected, key=expected.index
    )
    same(predicted(model, x), before, rtol=0, atol=0)
    inside = {p.path: p.layer for p in places(model)}
    for path in expected:
        shapes = [tuple(v.shape) for v in inside[path].trainable_variables]
        kernel = tuple(next(v for v in inside[path].weights if "lora" not in v.name).shape)
        assert shapes == [(*kernel[:-1], 2), (2, kernel[-1])]
    paths = [v.path for v in model.trainable_variables if "lora" in v.path]
    assert len(paths) == len(set(paths)) == 2 * len(expected)
    model.compile(keras.optimizers.SGD(0.5), run_eagerly=True)
    model.train_on_batch(x, y)
    after = values(model)
    assert not {n for n in moved(first, after) if n.rsplit("/", 1)[0] in expected}
    assert all(
        (after[f"{path}/{inside[path].trainable_variables[1].name}"] != 0).any()
        for path in expected
    )


def test_the_update_is_that_of_the_paper():
    model = dense()
    transfer.enable_lora(model, rank=2, layers="dense_0", alpha=3.0)
    layer = model.get_layer("dense_encoder").hidden[0]
    rng = np.random.default_rng(0)
    a, b, x = (rng.normal(size=shape).astype("float32") for shape in [(6, 2), (2, 8), (5, 6)])
    w = layer.weights[0].numpy()
    layer.lora_kernel_a.assign(a)
    layer.lora_kernel_b.assign(b)
    expected = np.tanh(x @ (w + 3 / 2 * a @ b))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert transfer.merge_lora(model) == ["dense_encoder/dense_0"]
    np.testing.assert_allclose(layer.kernel, w + 3 / 2 * a @ b, rtol=1e-5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [dense, image, text])
def test_merged_models_answer_alike_with_the_weights_that_they_had(make):
    plain = [(name, v.shape) for name, v in values(make()).items()]
    model, paths = adapted(make)
    x, y = rows(model)
    model.fit(x, y, epochs=2, verbose=0)
    before = predicted(model, x)
    assert transfer.merge_lora(model) == paths and adapted_in(model) == []
    same(predicted(model, x), before)
    assert [(name, v.shape) for name, v in values(model).items()] == plain
    assert not model.shared_variables()
    transfer.unfreeze(model, "shared")
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    first = values(model)
    model.train_on_batch(x, y)
    assert {
        f"{path}/{v.split('/')[-1]}" for path in paths for v in first if v.startswith(path)
    } & moved(first, values(model))
    assert transfer.enable_lora(model, rank=1) == paths, "and another one on top"


def test_what_was_compiled_before_answers_right_after():
    """The kernel that a compiled function read is another one then, here and in other models."""
    model = dense()
    twin = model.task_model("sold")
    x, y = rows(model)
    transfer.enable_lora(model, rank=2)
    first = [one.predict(x, verbose=0) for one in (model, twin)]
    model.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    model.fit(x, y, epochs=2, verbose=0)
    model.run_eagerly = False
    trained = [one.predict(x, verbose=0) for one in (model, twin)]
    for before, after in zip(first, trained, strict=True):
        assert np.abs(before["sold"] - after["sold"]).max() > 1e-3
    transfer.merge_lora(model)
    for one, before in zip((model, twin), trained, strict=True):
        same(one.predict(x, verbose=0), before)


@pytest.mark.parametrize("make", [dense, image, text])
def test_files_keep_kernels_and_updates_apart_and_training_goes_on(make, tmp_path):
    model, _ = adapted(make, alpha=5.0)
    x, y = rows(model)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert [v.path for v in loaded.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert not moved(values(model), values(loaded))
    same(predicted(loaded, x), predicted(model, x), rtol=0, atol=0)
    for one in (model, loaded):
        one.train_on_batch(x, y)
    ours, its = values(model), values(loaded)
    for name, value in ours.items():
        np.testing.assert_allclose(its[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert any("lora" in name for name in ours)


def test_a_backup_of_weights_goes_on_and_a_plain_file_leaves_updates_that_learn(tmp_path):
    model, _ = adapted(dense)
    x, y = rows(model)
    model.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "adapted.weights.h5")
    again, _ = adapted(dense)
    again.optimizer.build(again.trainable_variables)
    again.load_weights(tmp_path / "adapted.weights.h5")
    assert not moved(values(model), values(again))
    plain = dense()
    plain.load_weights(tmp_path / "adapted.weights.h5")
    same(predicted(plain, x), predicted(model, x))
    dense().save_weights(tmp_path / "plain.weights.h5")
    fresh = dense()
    transfer.enable_lora(fresh, rank=2)
    fresh.load_weights(tmp_path / "plain.weights.h5")
    fresh.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    before = values(fresh)
    fresh.train_on_batch(x, y)
    assert all(
        f"dense_encoder/dense_{i}/lora_kernel_b" in moved(before, values(fresh)) for i in range(3)
    ), "Keras alone loads A = B = 0, where no gradient reaches either"
    other = dense()
    transfer.enable_lora(other, rank=2, layers="dense_0")
    with pytest.raises(ValueError, match="updates of 3 layers, but the model has them in 1"):
        other.load_weights(tmp_path / "adapted.weights.h5")


def test_half_precision_loses_nothing_of_the_kernels(tmp_path):
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model, _ = adapted(dense)
        x, y = rows(model)
        model.fit(x, y, epochs=2, verbose=0)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        assert not moved(values(model), values(loaded))
        before = predicted(model, x)
        transfer.merge_lora(model)
        same(predicted(model, x), before, rtol=0.01, atol=0.01)
    finally:
        keras.mixed_precision.set_dtype_policy(policy)


@pytest.mark.parametrize("balancer", ["pcgrad", "moco", "gradnorm", "graddrop"])
def test_balancers_see_updates_as_they_see_any_weights(balancer, monkeypatch):
    """The same steps where no `Dense` is read in one pass."""
    models = []
    for reads in (True, False):
        if not reads:
            monkeypatch.setattr(_graph.TaskGraph, "dense_layers", lambda self: [])
        model = dense()
        transfer.enable_lora(model, rank=2, layers=["dense_0", "dense_2"])
        transfer.unfreeze(model, "dense_1")
        assert {v.path.split("/")[1] for v in model.shared_variables()} == {
            f"dense_{i}" for i in range(3)
        }
        keras.utils.set_random_seed(3)
        model.compile(keras.optimizers.SGD(0.1), balancer=balancing.get(balancer), run_eagerly=True)
        for _ in range(3):
            model.train_on_batch(*rows(model, 4))
        models.append(values(model))
    for name, value in models[0].items():
        np.testing.assert_allclose(value, models[1][name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_a_kernel_that_is_a_sum_is_not_read_in_one_pass():
    model = dense()
    transfer.enable_lora(model, rank=2, layers="dense_0")
    transfer.unfreeze(model, "shared")
    layers = model._graph.dense_layers()
    assert [layer.name for layer in layers] == [f"dense_{i}" for i in range(3)]
    with _dense_gradients.reading(layers, 2, lambda tensor: None) as found:
        model(rows(model, 3)[0])
    assert [read.layer.name for read in found] == ["dense_1", "dense_2"]


def test_updates_are_trained_by_schedule_and_step_by_rates():
    model = text()
    transfer.enable_lora(model, rank=1, layers="attention_*")
    model.compile(
        keras.optimizers.SGD(0.1),
        run_eagerly=True,
        learning_rate_multipliers={"attention_0": 0.0, "shared": 0.5},
    )
    x, y = rows(model)
    first = values(model)
    model.fit(x, y, epochs=1, callbacks=[transfer.Unfreeze({1: "attention_1"})], verbose=0)
    assert not [n for n in moved(first, values(model)) if "attention" in n]
    model.fit(x, y, epochs=1, callbacks=[transfer.Unfreeze({0: "attention_1"})], verbose=0)
    got = [n for n in moved(first, values(model)) if "attention" in n]
    assert got and all("attention_1" in n for n in got)
    assert not [n for n in got if n.endswith("/kernel")], "the kernels below stay"


def test_what_cannot_be_is_refused():
    model = dense()
    for rank in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="`rank` of enable_lora"):
            transfer.enable_lora(model, rank)
    with pytest.raises(ValueError, match="`alpha` of enable_lora is 0"):
        transfer.enable_lora(model, alpha=0)
    with pytest.raises(ValueError, match="`layers` names task 'query'"):
        transfer.enable_lora(model, layers="query")
    with pytest.raises(ValueError, match=r"names \['image_encoder/trunk/stage_0_norm'\], in which"):
        transfer.enable_lora(image(), layers="stage_0_norm")
    with pytest.raises(ValueError, match="No layer has a low-rank update"):
        transfer.merge_lora(model)
    assert len(model.trainable_variables) == 10
    transfer.enable_lora(model, layers="dense_1")
    with pytest.raises(ValueError, match=r"\['dense_encoder/dense_1'\] have a low-rank update"):
        transfer.enable_lora(model)
    model.compile("sgd", run_eagerly=True)
    model.train_on_batch(*rows(model))
    transfer.enable_lora(model, layers="dense_2")
    with pytest.raises(ValueError, match=r"built without \[.*lora_kernel_a"):
        model.train_on_batch(*rows(model))
