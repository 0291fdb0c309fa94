"""What a task answered: told apart by its form, losses of rows, and the guess that looks at nothing."""

import numpy as np
import pytest
from sklearn import metrics

from keras_mtl import tasks
from keras_mtl.reporting._judged import Judged, Kind, row_losses
from tests.reporting._every_kind import TASKS, judged


def test_kinds_are_told_by_what_is_answered():
    assert {name: judged(name).kind for name in TASKS} == {
        "binary": Kind.YES_NO, "several": Kind.ONE_CLASS, "ordinal": Kind.ONE_CLASS,
        "topics": Kind.CLASSES, "numbers": Kind.NUMBERS, "slots": Kind.TAGS,
    }  # fmt: skip


def test_losses_are_the_cross_entropy_of_scikit_learn():
    for name in ("binary", "several"):
        one = judged(name, missing=False)
        one.answers[:] = np.clip(one.answers, 0.05, 0.95)
        chances = one.answers if name == "several" else np.hstack([1 - one.answers, one.answers])
        chances = chances / chances.sum(axis=1, keepdims=True)
        again = Judged(name, one.task, one.labels, chances[:, -1:] if name == "binary" else chances,
                       one.rows, one.scores)  # fmt: skip
        assert row_losses(again).mean() == pytest.approx(metrics.log_loss(one.labels, chances))


def test_losses_of_sequences_and_numbers_leave_out_what_is_missing():
    slots = judged("slots")
    row = int(np.argmin(slots.there.sum(axis=1)))
    there = slots.there[row]
    given = [slots.answers[row, t, slots.labels[row, t]] for t in np.flatnonzero(there)]
    assert row_losses(slots)[row] == pytest.approx(-np.log(given).mean())
    numbers = judged("numbers")
    off = (numbers.answers[0, 0] - numbers.labels[0, 0]) / np.nanstd(numbers.labels[:, 0])
    assert np.isnan(numbers.labels[0, 1]) and row_losses(numbers)[0] == pytest.approx(off**2)


def test_an_unknown_class_is_the_worst_there_is():
    one = judged("several")
    one.labels[3] = -2
    again = Judged("several", one.task, one.labels, one.answers, one.rows, one.scores)
    assert row_losses(again).argmax() == 3 and np.isfinite(row_losses(again)).all()


def test_a_guess_is_the_share_the_mean_or_nothing():
    binary, numbers, slots = judged("binary"), judged("numbers"), judged("slots")
    share = (binary.labels == 1).mean()
    assert binary.guess["auc"] == 0.5 and binary.guess["accuracy"] == max(share, 1 - share)
    spread = np.nanmean((numbers.labels - np.nanmean(numbers.labels, axis=0)) ** 2) ** 0.5
    assert numbers.guess["rmse"] == pytest.approx(spread)
    assert numbers.guess["r2"] == pytest.approx(0, abs=1e-12)
    known = slots.labels[slots.labels >= 0]
    assert slots.guess["accuracy"] == np.bincount(known).max() / known.size
    assert 0 < numbers.skill < 1 and numbers.skill == pytest.approx(
        1 - numbers.scores["rmse"] / spread
    )


class Ranks(tasks.Binary):
    """Answers that no kind of ours has."""

    def labels_from(self, y_pred):
        return y_pred.argmax(axis=-1)


def test_answers_of_another_form_are_of_their_own_kind():
    one = Judged("t", Ranks("t"), np.arange(4), np.ones((4, 3)), np.arange(4), {"auc": 0.5})
    assert one.kind is Kind.OTHER and one.guess == {} and np.isnan(one.skill)
