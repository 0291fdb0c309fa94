"""Several worker processes train one model through `fit`, and one that dies and returns goes on."""

import signal

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from tests import workers

NAMES = ("none", "uncertainty", "mgda", "sign_agreement")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What one process and two workers made of the same batches."""
    folder = tmp_path_factory.mktemp("workers")
    assert workers.train(folder / "alone", 1, NAMES) == [0], (folder / "alone/0.log").read_text()
    ends = workers.train(folder / "two", 2, NAMES)
    assert ends == [0, 0], (folder / "two/0.log").read_text()[-3000:]
    return folder


@pytest.mark.slow
def test_each_worker_ends_with_the_same_weights_and_history(trained):
    first, second = (workers.result(trained / "two", i) for i in range(2))
    assert first.keys() == second.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)


@pytest.mark.slow
def test_it_is_what_a_single_process_gives(trained):
    """Missing labels unevenly spread over the workers included."""
    alone, first = workers.result(trained / "alone", 0), workers.result(trained / "two", 0)
    assert alone.keys() == first.keys()
    for key, value in alone.items():
        np.testing.assert_allclose(first[key], value, rtol=2e-4, atol=2e-5, err_msg=key)


@pytest.mark.slow
def test_a_worker_may_write_curves_of_its_own(trained):
    found = {}
    for place in ("alone/0", "two/1"):
        events = event_accumulator.EventAccumulator(str(trained / place / "logs/mgda/train"))
        events.Reload()
        (last,) = [e for e in events.Tensors("gradients/conflicting_steps") if e.step == 2]
        found[place] = float(tf.make_ndarray(last.tensor_proto))
    assert found["alone/0"] == pytest.approx(found["two/1"], abs=1e-5)


@pytest.mark.slow
def test_a_worker_that_dies_and_returns_goes_on_from_the_backup(trained):
    broken = trained / "broken"
    ends = workers.train(broken, 2, ["mgda"], dies_in=4)
    assert ends[1] == -signal.SIGKILL and not (broken / "0.npz").exists()
    assert workers.train(broken, 2, ["mgda"]) == [0, 0]
    whole, got = workers.result(trained / "two", 0), workers.result(broken, 0)
    weights = [key for key in got if "history" not in key]
    assert len(weights) > 8
    for key in weights:
        np.testing.assert_array_equal(got[key], whole[key], err_msg=key)
