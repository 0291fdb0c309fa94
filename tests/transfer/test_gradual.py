"""Layers join in at their epochs, with every balancer, and a resumed run ends as a whole one would."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import balancing, transfer
from keras_mtl.transfer import Unfreeze
from tests.transfer._models import dense, moved, rows, values


class Watch(keras.callbacks.Callback):
    """Which of the encoder's layers an epoch has moved."""

    def __init__(self):
        super().__init__()
        self.moved = []

    def on_epoch_begin(self, epoch, logs=None):
        self.before = values(self.model)

    def on_epoch_end(self, epoch, logs=None):
        names = moved(self.before, values(self.model))
        self.moved.append(sorted({n.split("/")[1] for n in names if n.startswith("dense_enc")}))


SCHEDULE = {1: "dense_2", 3: ["dense_0", "shared"]}


def test_layers_move_from_their_epochs_on():
    model = dense()
    model.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    watch, thawing = Watch(), Unfreeze(SCHEDULE)
    x, y = rows(model)
    model.fit(x, y, epochs=4, callbacks=[watch, thawing], verbose=0)
    every = ["dense_0", "dense_1", "dense_2"]
    assert watch.moved == [[], ["dense_2"], ["dense_2"], every]
    assert thawing.thawed == [f"dense_encoder{x}" for x in ("/dense_2", "/dense_0", "")]
    model.fit(x, y, epochs=5, initial_epoch=3, callbacks=[thawing, watch], verbose=0)
    assert watch.moved[4:] == [every, every], "goes on where the schedule is"
    model.fit(x, y, epochs=1, callbacks=[thawing, watch], verbose=0)
    assert watch.moved[6:] == [[]], "begins anew"


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_step_is_traced_anew(jit_compile):
    model = dense()
    model.compile(keras.optimizers.SGD(0.01), balancer="mgda", jit_compile=jit_compile)
    watch = Watch()
    x, y = rows(model)
    model.fit(x, y, epochs=2, callbacks=[watch, Unfreeze({1: "dense_[12]"})], verbose=0)
    assert watch.moved == [["dense_0"], ["dense_0", "dense_1", "dense_2"]]


@pytest.mark.parametrize("name", balancing.names())
def test_every_balancer_trains_what_is_thawed(name):
    """Where nothing shared is trained at first, then a layer of it."""
    model = dense()
    model.compile(keras.optimizers.SGD(0.05), balancer=name, run_eagerly=True)
    transfer.freeze(model, "shared")
    watch = Watch()
    x, y = rows(model)
    heads = [model.get_layer(f"{task}_scores") for task in model.task_names]
    first = [head.kernel.numpy() for head in heads]
    model.fit(x, y, batch_size=12, epochs=2, callbacks=[watch, Unfreeze({1: "dense_2"})], verbose=0)
    assert watch.moved == [[], ["dense_2"]]
    assert any((h.kernel.numpy() != f).any() for h, f in zip(heads, first, strict=True))
    assert all(np.isfinite(v).all() for v in values(model).values())


def test_plain_descent_is_that_of_models_frozen_by_hand():
    """Without state, a schedule is as good as training twice, compiled anew in between."""
    model, other = dense(), dense()
    x, y = rows(model)
    rates = {"dense_2": 0.5, "shared": 0.25}
    model.compile(keras.optimizers.SGD(0.05), run_eagerly=True, learning_rate_multipliers=rates)
    model.fit(x, y, epochs=4, shuffle=False, callbacks=[Unfreeze(SCHEDULE)], verbose=0)
    transfer.freeze(other, "shared")
    for thawed, epochs in ((None, 1), ("dense_2", 2), ("shared", 1)):
        if thawed:
            transfer.unfreeze(other, thawed)
        other.compile(keras.optimizers.SGD(0.05), run_eagerly=True, learning_rate_multipliers=rates)
        other.fit(x, y, epochs=epochs, shuffle=False, verbose=0)
    for name, value in values(other).items():
        np.testing.assert_allclose(values(model)[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


class Dies(keras.callbacks.Callback):
    """The power fails at the beginning of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def run(folder, die_in, *, epochs=5, balancer="moco", order=1):
    model = dense(dropout=0.2)
    model.compile(keras.optimizers.Adam(0.01), balancer=balancer, run_eagerly=True)
    transfer.freeze(model, "shared")
    callbacks = [keras.callbacks.BackupAndRestore(folder), Unfreeze(SCHEDULE), Dies(die_in)]
    x, y = rows(model)
    model.fit(x, y, epochs=epochs, shuffle=False, callbacks=callbacks[::order], verbose=0)
    return model


@pytest.mark.parametrize(
    ("die_in", "balancer"), [(1, "moco"), (3, "moco"), (4, "uncertainty"), (3, None)]
)
def test_a_run_that_was_broken_off_ends_with_the_same_weights(tmp_path, die_in, balancer):
    """Before, at and after an epoch that thaws; state of optimizer, balancer and dropout goes on."""
    whole = run(tmp_path / "whole", None, balancer=balancer)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", die_in, balancer=balancer)
    again = run(tmp_path / "broken", None, balancer=balancer, order=-1)
    assert not moved(values(whole), values(again))


@pytest.mark.parametrize("balancer", ["moco", None])
def test_a_model_saved_between_two_thaws_goes_on_as_it_would(tmp_path, balancer):
    whole = run(tmp_path / "whole", None, balancer=balancer)
    half = run(tmp_path / "half", None, epochs=2, balancer=balancer)
    half.save(tmp_path / "half.keras")
    loaded = keras.models.load_model(tmp_path / "half.keras")
    assert len(loaded.shared_variables()) == 2
    x, y = rows(loaded)
    loaded.fit(
        x, y, initial_epoch=2, epochs=5, shuffle=False, callbacks=[Unfreeze(SCHEDULE)], verbose=0
    )
    for name, value in values(whole).items():
        np.testing.assert_allclose(values(loaded)[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match="came as a list"):
        Unfreeze(["shared"])
    for schedule in ({}, {-1: "shared"}, {1.5: "shared"}, {True: "shared"}):
        with pytest.raises(ValueError, match="expected one or more whole numbers"):
            Unfreeze(schedule)
    model = dense()
    x, y = rows(model)
    model.compile("adam", run_eagerly=True)
    with pytest.raises(ValueError, match="`schedule` names task 'top'"):
        model.fit(x, y, callbacks=[Unfreeze({1: "top"})], verbose=0)
    transfer.freeze(model, "shared")
    model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"Unfreeze is to thaw \['dense_encoder/dense_2/kernel'"):
        model.fit(x, y, callbacks=[Unfreeze({1: "dense_2"})], verbose=0)
    model.compile("adam", balancer="moco", run_eagerly=True)
    with pytest.raises(ValueError, match=r"MoCo keeps gradients.*compile before freezing"):
        model.fit(x, y, callbacks=[Unfreeze({1: "dense_2"})], verbose=0)
    assert [v.path for v in model.shared_variables()] == [], "as it was"
    assert keras_mtl.transfer.Unfreeze is Unfreeze
