"""Calibration: bins and the expected error by hand, the curve as scikit-learn has it."""

import types

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from keras_mtl.reporting import reliability
from keras_mtl.reporting._judged import Judged
from keras_mtl.reporting.calibration import calibration, section
from keras_mtl.tasks import SequenceTagging
from tests.reporting._every_kind import TAGS, judged


def test_the_expected_error_by_hand():
    """Two bins hold two answers each, one holds one: 2/5 |.9 - .5| + 2/5 |.25 - 0| + 1/5 |.6 - 1|."""
    found = reliability([0.88, 0.92, 0.22, 0.28, 0.6], [1, 0, 0, 0, 1], bins=5)
    assert found.counts.tolist() == [0, 2, 1, 0, 2]
    assert found.error == pytest.approx(0.4 * 0.4 + 0.4 * 0.25 + 0.2 * 0.4)
    assert found.surplus == pytest.approx(0.4 * 0.4 + 0.4 * 0.25 - 0.2 * 0.4)


def test_bins_hold_their_upper_end_and_the_first_one_nothing_less():
    assert reliability([0.0, 0.2, 0.200001, 1.0], [0] * 4, bins=5).counts.tolist() == [
        2,
        1,
        0,
        0,
        1,
    ]


def test_there_are_fifteen_and_the_curve_is_that_of_scikit_learn(rng):
    chances = rng.random(900)
    came = rng.random(900) < chances**2
    found = reliability(chances, came)
    assert len(found.counts) == 15
    observed, said = calibration_curve(came, chances, n_bins=15)
    np.testing.assert_allclose(found.came, observed)
    np.testing.assert_allclose(found.said, said)
    assert reliability(chances, rng.random(900) < chances).error < found.error / 2


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="one of each row"):
        reliability([0.5, 0.5], [1])
    with pytest.raises(ValueError, match="at least one row"):
        reliability([], [])


def test_of_several_classes_it_is_the_chance_of_the_decision():
    one = judged("several")
    found = calibration(one)
    top, right = one.answers.max(axis=1), one.answers.argmax(axis=1) == one.labels
    assert found.error == reliability(top, right).error
    binary = judged("binary")
    assert calibration(binary).error == reliability(binary.answers, binary.labels == 1).error


def test_missing_labels_and_padding_are_left_out():
    topics, slots = judged("topics"), judged("slots")
    assert calibration(topics).counts.sum() == (topics.labels != -1).sum() < topics.labels.size
    assert calibration(slots).counts.sum() == (slots.labels != -1).sum() < slots.labels.size


def test_scores_of_paths_are_not_taken_for_chances():
    slots = judged("slots")
    chain = SequenceTagging("slots", TAGS, decoder="crf")
    scored = Judged("slots", chain, slots.labels, slots.answers, slots.rows, slots.scores)
    assert slots.served_is_probability and not scored.served_is_probability
    assert not judged("numbers").served_is_probability
    assert section(types.SimpleNamespace(judged={"slots": scored}, detailed=[scored])) is None
