"""EarlyStopping on several keys, on Delta_m, and the weights that it keeps."""

import numpy as np
import pytest

from keras_mtl.callbacks import EarlyStopping


class Model:
    """Counts epochs as its weights."""

    def __init__(self):
        self.weights, self.stop_training = [np.array(-1.0)], False

    def get_weights(self):
        return [w.copy() for w in self.weights]

    def set_weights(self, weights):
        self.weights = [np.array(w) for w in weights]


def run(callback, **curves):
    model = Model()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch in range(len(next(iter(curves.values())))):
        model.weights = [np.array(float(epoch))]
        callback.on_epoch_end(epoch, {key: values[epoch] for key, values in curves.items()})
        if model.stop_training:
            break
    callback.on_train_end()
    return model


A = [0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
B = [0.5, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7]


def test_all_waits_for_the_last_task_and_any_for_the_first():
    both = {"val_a_accuracy": A, "val_b_accuracy": B}
    every = EarlyStopping(list(both), mode="all", patience=2)
    run(every, **both)
    assert every.stopped_epoch == 5
    first = EarlyStopping(list(both), mode="any", patience=2)
    run(first, **both)
    assert first.stopped_epoch == 3  # `a` was best in epoch 1 and has not got better twice
    assert every.best_epoch == {"val_a_accuracy": 1, "val_b_accuracy": 3, "overall": 3}


def test_losses_are_better_when_less_and_directions_can_be_told():
    loss = [3.0, 2.0, 1.0, 1.5, 1.6]
    stop = EarlyStopping("val_loss", patience=1)
    model = run(stop, val_loss=loss)
    assert stop.stopped_epoch == 3 and model.weights[0] == 2.0
    told = EarlyStopping("val_a_cost", patience=1, directions={"val_a_cost": "min"})
    run(told, val_a_cost=loss)
    assert told.best_epoch["val_a_cost"] == 2
    with pytest.raises(ValueError, match="expected 'max' or 'min'"):
        EarlyStopping("val_a_cost", directions={"val_a_cost": "down"})


def test_delta_m_against_single_task_models():
    stop = EarlyStopping(
        mode="delta_m", patience=1, baseline={"val_a_accuracy": 0.5, "val_b_rmse": 2.0}
    )
    curves = {"val_a_accuracy": [0.5, 0.6, 0.55, 0.5], "val_b_rmse": [2.0, 1.8, 1.9, 2.0]}
    model = run(stop, **curves)
    assert stop.best_epoch["overall"] == 1 and stop.stopped_epoch == 2
    assert model.weights[0] == 1.0
    with pytest.raises(ValueError, match="give baseline"):
        EarlyStopping(mode="delta_m")


def test_the_best_weights_of_one_task_can_be_brought_back():
    stop = EarlyStopping(["val_a_accuracy", "val_b_accuracy"], patience=9)
    model = run(stop, val_a_accuracy=[0.9, 0.1, 0.2], val_b_accuracy=[0.1, 0.2, 0.9])
    stop.restore("val_a_accuracy")
    assert model.weights[0] == 0.0
    stop.restore("val_b_accuracy")
    assert model.weights[0] == 2.0
    with pytest.raises(ValueError, match="no best weights of 'val_c'"):
        stop.restore("val_c")


def test_an_improvement_must_be_large_enough():
    stop = EarlyStopping("val_a_accuracy", patience=2, min_delta=0.1)
    run(stop, val_a_accuracy=[0.5, 0.55, 0.59, 0.7])
    assert stop.stopped_epoch == 2


def test_a_key_that_is_not_recorded_is_told_with_its_nearest():
    with pytest.raises(ValueError, match="did you mean 'val_intent_accuracy'"):
        run(EarlyStopping("val_intent_acc"), val_intent_accuracy=[0.5])
