"""SequenceTagging: spans as conlleval counts them; a chain that equals brute force."""

import itertools

import numpy as np
import pytest

from keras_mtl import tasks
from keras_mtl._labels import encode_tags
from keras_mtl.tasks._chain import best_scores, chain_losses

TAGS = ["O", "B-city", "I-city", "B-time", "I-time"]


def served(sequences):
    """One-hot outputs for tag names."""
    return np.stack([np.eye(len(TAGS))[[TAGS.index(t) for t in s]] for s in sequences])


def test_span_f1_by_hand():
    """Two of three true spans found and one invented: precision 2/3, recall 2/3."""
    truth = [["B-city", "I-city", "O", "B-time"], ["O", "B-city", "O", "O"]]
    guess = [["B-city", "I-city", "O", "B-city"], ["O", "B-city", "O", "O"]]
    ids = np.stack(encode_tags(truth, TAGS, task="t"))
    got = tasks.SequenceTagging("t", TAGS).score(ids, served(guess))
    assert got["precision"] == pytest.approx(2 / 3) and got["recall"] == pytest.approx(2 / 3)
    assert got["accuracy"] == pytest.approx(7 / 8)
    assert got["sequence_accuracy"] == pytest.approx(1 / 2)


def test_a_span_that_is_half_right_is_wrong_and_an_i_may_begin_one():
    """conlleval: I after O begins a span; a boundary that is off by one makes two errors."""
    ids = np.stack(encode_tags([["B-city", "I-city", "O"]], TAGS, task="t"))
    off = tasks.SequenceTagging("t", TAGS).score(ids, served([["B-city", "O", "O"]]))
    assert off["f1"] == 0.0
    begun = tasks.SequenceTagging("t", TAGS).score(ids, served([["I-city", "I-city", "O"]]))
    assert begun["f1"] == 1.0 and begun["sequence_accuracy"] == 0.0


def test_padding_is_left_out_and_an_unseen_tag_is_a_missed_span(caplog):
    truth = [["B-city", "B-new", "I-new"]]
    ids = np.stack(encode_tags(truth, TAGS, task="t"))
    assert "B-new" in caplog.text
    padded = np.pad(ids, [(0, 0), (0, 1)], constant_values=-1)
    got = tasks.SequenceTagging("t", TAGS).score(padded, served([["B-city", "O", "O", "B-time"]]))
    assert got["precision"] == 1.0 and got["recall"] == pytest.approx(1 / 2)


def paths(scores, transitions, length):
    for path in itertools.product(range(scores.shape[1]), repeat=length):
        emitted = sum(scores[t, tag] for t, tag in enumerate(path))
        yield path, emitted + sum(transitions[a, b] for a, b in itertools.pairwise(path))


def test_the_chain_equals_enumerating_every_path(rng):
    scores = rng.normal(size=(3, 4, 3)).astype("float32")
    transitions = rng.normal(size=(3, 3)).astype("float32")
    ids = rng.integers(0, 3, (3, 4))
    lengths = [4, 2, 1]
    mask = np.arange(4) < np.array(lengths)[:, None]
    losses = np.asarray(chain_losses(scores, ids, mask, transitions))
    best = np.asarray(best_scores(scores, mask, transitions))
    for row, length in enumerate(lengths):
        every = dict(paths(scores[row], transitions, length))
        partition = np.log(sum(np.exp(s) for s in every.values()))
        nll = (partition - every[tuple(ids[row, :length])]) / length
        np.testing.assert_allclose(losses[row], nll * mask[row], rtol=1e-5)
        viterbi = max(every, key=lambda path: every[path])
        assert tuple(best[row].argmax(-1)[:length]) == viterbi
        through = max(s for path, s in every.items() if path[0] == 1)
        np.testing.assert_allclose(best[row, 0, 1], through, rtol=1e-5)


def test_the_chain_never_serves_an_inside_tag_after_another_type():
    """Where single positions would give B-city I-time, the best path does not."""
    task = tasks.SequenceTagging("t", TAGS, decoder="crf")
    scores = np.zeros((1, 2, 5), "float32")
    scores[0, 0, 1], scores[0, 1, 4], scores[0, 1, 2] = 3.0, 1.2, 1.0
    state = task.trainable_state()
    assert scores.argmax(-1).tolist() == [[1, 4]]
    assert np.asarray(task.predictions(scores, state)).argmax(-1).tolist() == [[1, 2]]
