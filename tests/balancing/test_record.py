"""What a balancer records of an epoch: held to gradients measured apart from it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_mtl import balancing, evaluation
from keras_mtl.balancing._record import Record
from tests.models import TASKS, compiled, rows


def standing(balancer, **how):
    """A model that does not move, so that each step sees the same gradients."""
    return compiled(optimizer=keras.optimizers.SGD(0.0), balancer=balancer, **how)


@pytest.mark.parametrize("how", [{}, {"jit_compile": True}])
def test_cosines_norms_and_conflicts_are_those_of_the_gradients(how):
    x, y = rows(32)
    model = standing("mgda", **how)
    model.fit(x, y, batch_size=32, epochs=2, verbose=0)
    seen = model.balancer.record.summary()
    measured = evaluation.gradient_cosines(model, x, y, batch_size=32).matrix
    np.testing.assert_allclose(seen["cosines"], measured, atol=1e-5)
    conflicts = (measured < 0).astype("float64")
    np.testing.assert_array_equal(seen["conflicts"], conflicts)
    assert seen["conflicting_steps"] == conflicts.any()
    np.testing.assert_allclose(seen["weights"], model.balancer.last_weights, rtol=1e-6)
    for i, task in enumerate(TASKS):
        # The length of a task's gradient is how far plain descent on it alone moves what is shared.
        alone = compiled(
            optimizer=keras.optimizers.SGD(1.0), loss_weights={t: float(t == task) for t in TASKS}
        )
        kernel = alone.get_layer("shared")
        before = [ops.convert_to_numpy(v) for v in kernel.weights]
        alone.train_on_batch(x, y)
        moved = [b - ops.convert_to_numpy(v) for b, v in zip(before, kernel.weights, strict=True)]
        norm = np.sqrt(sum((m**2).sum() for m in moved))
        assert seen["norms"][i] == pytest.approx(norm, rel=1e-4), task


def test_it_is_a_mean_over_steps_with_the_task_and_begins_anew_with_each_epoch():
    x, y = rows(64)
    y["m_sold"][32:] = np.nan
    model = standing(balancing.MGDA())
    model.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0)
    seen = model.balancer.record.summary()
    first, second = slice(0, 32), slice(32, 64)
    halves = [
        evaluation.gradient_cosines(model, x[first], {t: v[first] for t, v in y.items()}).matrix,
        evaluation.gradient_cosines(
            model, x[second], {t: y[t][second] for t in ("z_price", "a_kind")}
        ).matrix,
    ]
    np.testing.assert_allclose(seen["cosines"][0, 1], (halves[0] + halves[1])[0, 1] / 2, atol=1e-5)
    np.testing.assert_allclose(seen["cosines"][0, 2], halves[0][0, 2], atol=1e-5)
    assert float(model.balancer.record.weights[-1]) == 2, "two steps an epoch"


def test_weights_that_are_held_between_balanced_steps_are_counted():
    x, y = rows(32)
    model = standing(balancing.MGDA(every=2))
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    assert float(model.balancer.record.weights[-1]) == 4
    assert float(model.balancer.record.pairs[1, 0, 0]) == 2


@pytest.mark.parametrize(
    ("balancer", "known"),
    [
        ("dwa", {"weights"}),
        ("gradnorm", {"weights", "norms"}),
        ("modo", {"weights"}),
        ("moco", {"weights", "norms", "cosines", "conflicts", "conflicting_steps"}),
        ("graddrop", set()),
    ],
)
def test_only_what_a_method_looks_at_is_known(balancer, known):
    model = compiled(balancer=balancer)
    model.fit(*rows(16), verbose=0)
    assert set(model.balancer.record.summary()) == known
    assert set(model.balancer.recorded) == known & {"weights", "norms", "cosines"}


def test_by_hand():
    record = Record(2)
    gramian = ops.convert_to_tensor([[4.0, -3.0], [-3.0, 9.0]])
    both = ops.convert_to_tensor([True, True])
    record.add_gramian(gramian, both, True)
    record.add_gramian(ops.abs(gramian), both, True)
    record.add_gramian(ops.full((2, 2), float("nan")), both, False)
    record.add_weights(ops.convert_to_tensor([1.0, 3.0]))
    record.add_weights(ops.convert_to_tensor([float("nan"), 3.0]))
    seen = record.summary()
    np.testing.assert_allclose(seen["weights"], [1, 3])
    np.testing.assert_allclose(seen["norms"], [2, 3])
    np.testing.assert_allclose(seen["cosines"], [[1, 0], [0, 1]], atol=1e-7)
    np.testing.assert_allclose(seen["conflicts"], [[0, 0.5], [0.5, 0]])
    assert seen["conflicting_steps"] == 0.5
    record.reset()
    assert record.summary() == {}


def test_no_file_holds_it(tmp_path):
    model = compiled(balancer="mgda")
    model.fit(*rows(16), verbose=0)
    kept = {v.path for v in model.variables}
    assert not any("record" in path for path in kept)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.balancer.record.summary() == {}
