"""Requests that come at the same time share one call of the model."""

import threading
from collections import deque
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from keras_mtl.serving._errors import ServingError
from keras_mtl.serving._servable import Servable, Signature

Arrays = Mapping[str, np.ndarray]


class Batcher:
    """Joins the rows of waiting requests into one call, and splits the answer.

    Nobody waits for company: a request that finds nobody calling is answered at once, in its own
    thread. Those that come meanwhile pile up, and the first of them calls for all when the call
    before has ended. Only rows of one version, signature and shape are joined, so that nothing is
    padded, and only where the graph itself does not pad (`Signature.independent_rows`).

    Args:
        max_batch_size: The most rows that a joined call has; 1 joins none.

    Attributes:
        requests: How many requests were answered.
        calls: How many calls of the model that took.
    """

    def __init__(self, max_batch_size: int = 64) -> None:
        if max_batch_size < 1:
            raise ValueError(
                f"`max_batch_size` is {max_batch_size}; expected at least 1, which joins no requests."
            )
        self.max_batch_size = max_batch_size
        self.requests = self.calls = 0
        self._lock = threading.Lock()
        # Who waits, by what can be joined; a key is here while somebody calls.
        self._waiting: dict[Hashable, deque[_Request]] = {}

    def run(self, servable: Servable, signature: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Answers one request, maybe together with others; blocks until it is answered.

        Args:
            servable: The version that answers; it must stay open meanwhile.
            signature: The signature's name.
            arrays: Every input by name.

        Returns:
            Every output by name.

        Raises:
            ServingError: As `Servable.run`; of this request alone, never another's.
        """
        wanted = servable.signature(signature)
        request = _Request(wanted.checked(arrays))
        if not self._joinable(wanted, request):
            self._count(1, 1)
            return servable.call(wanted, request.arrays)
        key = (id(servable), wanted.name, request.row_shapes)
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is None:
                self._waiting[key] = deque()
            else:
                waiting.append(request)
        if waiting is not None:
            request.turn.acquire()
        if not request.answered:
            # Who found nobody has nobody to take along.
            batch = [request] if waiting is None else [request, *self._take(key, request)]
            try:
                self._answer(servable, wanted, batch)
            finally:
                self._hand_over(key)
        if request.error is not None:
            raise request.error
        return request.answers

    def _joinable(self, signature: Signature, request: "_Request") -> bool:
        rows = {array.shape[0] for array in request.arrays.values() if array.ndim}
        if not signature.independent_rows or len(rows) != 1:
            return False
        request.rows = rows.pop()
        return 0 < request.rows < self.max_batch_size

    def _take(self, key: Hashable, first: "_Request") -> "list[_Request]":
        """Those that waited and fit into one call with the first."""
        taken, rows = [], first.rows
        with self._lock:
            waiting = self._waiting[key]
            while waiting and rows + waiting[0].rows <= self.max_batch_size:
                taken.append(waiting.popleft())
                rows += taken[-1].rows
        return taken

    def _answer(self, servable: Servable, signature: Signature, batch: "list[_Request]") -> None:
        """Fills in every request's answers or error, and lets go of all but the first, the caller."""
        try:
            if len(batch) == 1:
                self._alone(servable, signature, batch[0])
            else:
                self._together(servable, signature, batch)
        except BaseException as error:
            for request in batch:
                request.fail(error)
            raise
        finally:
            self._count(len(batch), 1)
            for request in batch[1:]:
                request.turn.release()

    def _together(self, servable: Servable, signature: Signature, batch: "list[_Request]") -> None:
        joined = {
            name: np.concatenate([request.arrays[name] for request in batch])
            for name in signature.inputs
        }
        rows = sum(request.rows for request in batch)
        try:
            answers = servable.call(signature, joined)
        except ServingError:
            answers = {}
        if not answers or any(len(answer) != rows for answer in answers.values()):
            # One of them is at fault; each is asked alone, so that the others get their answers.
            for request in batch:
                self._alone(servable, signature, request)
            self._count(0, len(batch))
            return
        start = 0
        for request in batch:
            end = start + request.rows
            request.succeed({name: answer[start:end] for name, answer in answers.items()})
            start = end

    def _alone(self, servable: Servable, signature: Signature, request: "_Request") -> None:
        try:
            request.succeed(servable.call(signature, request.arrays))
        except ServingError as error:
            request.fail(error)

    def _hand_over(self, key: Hashable) -> None:
        """Wakes the next to call, or leaves the field."""
        with self._lock:
            waiting = self._waiting[key]
            if waiting:
                waiting.popleft().turn.release()
            else:
                del self._waiting[key]

    def _count(self, requests: int, calls: int) -> None:
        with self._lock:
            self.requests += requests
            self.calls += calls


class _Request:
    """One request's arrays, and the answers that another's thread may put there."""

    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.rows = 0
        self.row_shapes = tuple(array.shape[1:] for array in arrays.values())
        # Free, once, when a request that waits is answered, or when it is its turn to call. An
        # Event would do, and takes longer to make and to wake up from.
        self.turn = threading.Lock()
        self.turn.acquire()
        self.answered = False
        self.answers: dict[str, Any] = {}
        self.error: BaseException | None = None

    def succeed(self, answers: dict[str, Any]) -> None:
        self.answers, self.answered = answers, True

    def fail(self, error: BaseException) -> None:
        if not self.answered:
            self.error, self.answered = error, True
