"""Requests that share a call of the model: nobody's answer is another's, and nobody waits in vain."""

import concurrent.futures
import threading
import time

import numpy as np
import pytest

from keras_mtl.serving._batcher import Batcher
from keras_mtl.serving._errors import ServingError, invalid
from keras_mtl.serving._servable import Servable
from keras_mtl.serving._signature import Signature, Spec
from tests.serving import saved_models

DOUBLE = Signature(
    "double", {"x": Spec("float32", (None, None))}, {"y": Spec("float32", (None, None))}, True
)


class Gated:
    """A model that doubles, refuses negative rows, and holds every call until the gate is open."""

    def __init__(self, error=None):
        self.gate = threading.Event()
        self.calls = []
        self.error = error

    def signature(self, name=""):
        return DOUBLE

    def call(self, signature, arrays):
        self.calls.append(len(arrays["x"]))
        assert self.gate.wait(30)
        if self.error:
            raise self.error
        if (arrays["x"] < 0).any():
            raise invalid("a row is negative")
        return {"y": 2 * arrays["x"]}


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def rows(value, count=1, width=2):
    return {"x": np.full((count, width), value, "float32")}


def pile(batcher, model, requests):
    """Has the first request run alone, the others come while it runs, then opens the gate."""
    pool = concurrent.futures.ThreadPoolExecutor(len(requests) + 1)
    futures = []
    for i, arrays in enumerate(requests):
        futures.append(pool.submit(batcher.run, model, "double", arrays))
        until(lambda: model.calls if i == 0 else waiting(batcher) >= i)  # noqa: B023
    model.gate.set()
    pool.shutdown()
    return futures


def waiting(batcher):
    with batcher._lock:
        return sum(map(len, batcher._waiting.values()))


def test_what_has_piled_up_goes_in_one_call_and_everybody_gets_their_own_rows():
    batcher, model = Batcher(), Gated()
    futures = pile(batcher, model, [rows(i, count=1 + i % 3) for i in range(7)])
    for i, future in enumerate(futures):
        np.testing.assert_array_equal(future.result()["y"], rows(2 * i, count=1 + i % 3)["x"])
    assert model.calls == [1, 2 + 3 + 1 + 2 + 3 + 1]
    assert (batcher.requests, batcher.calls) == (7, 2)
    assert not batcher._waiting, "nothing is kept"


def test_a_request_that_finds_nobody_calls_in_its_own_thread_at_once():
    batcher, model = Batcher(), Gated()
    model.gate.set()
    before = threading.active_count()
    for i in range(3):
        np.testing.assert_array_equal(batcher.run(model, "double", rows(i))["y"], rows(2 * i)["x"])
    assert model.calls == [1, 1, 1]
    assert threading.active_count() == before


def test_a_bad_request_in_the_pile_fails_alone():
    batcher, model = Batcher(), Gated()
    futures = pile(batcher, model, [rows(1), rows(2), rows(-1), rows(3)])
    with pytest.raises(ServingError, match="a row is negative"):
        futures.pop(2).result()
    for value, future in zip((1, 2, 3), futures, strict=True):
        np.testing.assert_array_equal(future.result()["y"], rows(2 * value)["x"])
    assert model.calls == [1, 3, 1, 1, 1], "once together, then each alone"


def test_what_does_not_fit_the_signature_never_enters_the_pile():
    batcher, model = Batcher(), Gated()
    with pytest.raises(ServingError, match="takes the inputs"):
        batcher.run(model, "double", {"z": rows(1)["x"]})
    assert model.calls == []


def test_no_call_has_more_rows_than_it_may():
    batcher, model = Batcher(max_batch_size=4), Gated()
    futures = pile(batcher, model, [rows(i, count=2) for i in range(6)])
    assert [future.result()["y"][0, 0] for future in futures] == [0, 2, 4, 6, 8, 10]
    assert model.calls == [2, 4, 4, 2]


def test_requests_larger_than_a_call_and_batchers_of_one_go_alone():
    for batcher, count in ((Batcher(4), 9), (Batcher(1), 1)):
        model = Gated()
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(batcher.run, model, "double", rows(i, count)) for i in range(3)]
            until(lambda: len(model.calls) == 3)  # noqa: B023
            model.gate.set()
        assert [future.result()["y"][0, 0] for future in futures] == [0, 2, 4]
        assert model.calls == [count] * 3


def test_rows_of_different_width_are_not_joined():
    batcher, model = Batcher(), Gated()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(batcher.run, model, "double", rows(1, width=w)) for w in (2, 3)]
        until(lambda: len(model.calls) == 2)
        model.gate.set()
    assert [future.result()["y"].shape for future in futures] == [(1, 2), (1, 3)]


def test_a_failure_that_nobody_foresaw_reaches_all_and_leaves_the_batcher_usable():
    batcher, model = Batcher(), Gated(RuntimeError("out of order"))
    for future in pile(batcher, model, [rows(i) for i in range(4)]):
        with pytest.raises(RuntimeError, match="out of order"):
            future.result()
    model.error = None
    np.testing.assert_array_equal(batcher.run(model, "double", rows(3))["y"], rows(6)["x"])


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="`max_batch_size` is 0; expected at least 1"):
        Batcher(0)


def test_texts_of_any_length_are_answered_as_if_they_came_alone(songs):
    servable, batcher = Servable(songs[1] / "1"), Batcher()
    rng = np.random.default_rng(0)
    texts = [
        {"tokens": rng.choice(saved_models.WORDS, (1, length)).astype(object)}
        for length in rng.integers(1, 9, 160)
    ]
    alone = [servable.run("serving_default", text) for text in texts]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        run = lambda text: batcher.run(servable, "serving_default", text)  # noqa: E731
        for expected, answer in zip(alone, pool.map(run, texts), strict=True):
            for name in ("genre", "slots"):
                assert answer[name].shape == expected[name].shape
                np.testing.assert_allclose(answer[name], expected[name], atol=1e-6)
    assert batcher.requests == 160


def test_a_graph_that_pads_inside_is_asked_for_each_request_alone(tmp_path):
    servable = Servable(saved_models.write_version(tmp_path, 1, saved_models.Words()))
    batcher = Batcher()
    texts = [np.array([" ".join(["word"] * length)]) for length in (1, 5, 2, 7) * 10]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda t: batcher.run(servable, "", {"text": t}), texts))
    assert [a["words"].shape for a in answers] == [(1, 1), (1, 5), (1, 2), (1, 7)] * 10
    assert batcher.calls == batcher.requests == 40
