"""Episodes: what is shown and asked is of the right classes, apart, and drawn evenly."""

import itertools

import numpy as np
import pytest

from keras_mtl.transfer.episodes import Episodes

LABELS = np.array([0, 1, 2, 3, 4, 7, -1] * 9)
ROWS = np.arange(len(LABELS))


def drawn(count, **options):
    return list(itertools.islice(Episodes(ROWS, LABELS, **options), count))


def test_rows_are_of_their_classes_and_none_is_shown_and_asked():
    for episode in drawn(30, ways=3, shots=2, queries=4):
        assert len(set(episode.classes)) == 3 and -1 not in episode.classes
        assert (LABELS[episode.support] == episode.classes[episode.support_labels]).all()
        assert (LABELS[episode.query] == episode.classes[episode.query_labels]).all()
        assert len({*episode.support, *episode.query}) == 3 * (2 + 4), "each row once"
        np.testing.assert_array_equal(episode.support_labels, [0, 0, 1, 1, 2, 2])
        np.testing.assert_array_equal(np.bincount(episode.query_labels), [4, 4, 4])


def test_classes_and_rows_are_drawn_evenly():
    episodes = drawn(1200, ways=2, shots=1, queries=2, seed=1)
    counts = np.bincount(np.concatenate([e.classes for e in episodes]), minlength=8)
    # 1200 x 2 / 6 = 400 of each class, give or take four standard deviations of 16.3.
    assert (np.abs(counts[[0, 1, 2, 3, 4, 7]] - 400) < 66).all() and counts[[5, 6]].sum() == 0
    shown = np.bincount(np.concatenate([e.support for e in episodes]), minlength=len(ROWS))
    assert (shown[LABELS >= 0] > 20).all() and (shown[LABELS < 0] == 0).all()


def test_only_the_given_classes_are_drawn_from():
    seen = {c for e in drawn(20, ways=2, queries=1, classes=[7, 2, 4]) for c in e.classes.tolist()}
    assert seen == {2, 4, 7}


def test_the_seed_tells_the_draws():
    one, again, other = (drawn(5, ways=2, queries=2, seed=s) for s in (3, 3, 4))
    same = [np.array_equal(a.query, b.query) for a, b in zip(one, again, strict=True)]
    assert all(same)
    assert not all(np.array_equal(a.query, b.query) for a, b in zip(one, other, strict=True))


def test_columns_stay_together():
    columns = {"row": ROWS, "twice": 2 * ROWS}
    episode = next(iter(Episodes(columns, LABELS, ways=2, queries=3)))
    np.testing.assert_array_equal(2 * episode.query["row"], episode.query["twice"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ways": 1}, "at least two ways"),
        ({"ways": 7, "queries": 1}, r"of 7 ways draw from the classes \[0, 1, 2, 3, 4, 7\]"),
        ({"ways": 2, "queries": 1, "classes": [0, 5]}, r"classes \[0, 5\], and the labels have"),
        ({"ways": 2, "shots": 2, "queries": 8}, r"need 10 rows a class.*\{0: 9, 1: 9"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Episodes(ROWS, LABELS, **options)


def test_labels_that_are_none_are_refused():
    with pytest.raises(ValueError, match="float64"):
        Episodes(ROWS, LABELS / 2)
    with pytest.raises(ValueError, match=r"has \[62\] rows, but there are 63 labels"):
        Episodes(ROWS[:-1], LABELS)
