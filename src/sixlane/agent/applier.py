# SPDX-License-Identifier: Apache-2.0
"""The one thread that changes anything: jobs from a queue, and tries again of what failed."""

import contextlib
import contextvars
import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from sixlane.agent import threads
from sixlane.errors import SixlaneError

_log = logging.getLogger("sixlane.applier")
_Result = TypeVar("_Result")
_Work = tuple[Callable[[], Any], "Future[Any]"]

_TURN_S = 2.0
_LONGEST_JOB_S = 300.0  # some resolvers that do not answer, one after the other, 10 s each


class Applier:
    """Runs jobs one after the other, in the order in which they were given."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._later: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closing = False
        self._at_work_since: float | None = None
        self._thread = threads.start("applier", self._run)

    def submit(self, job: Callable[[], _Result]) -> "Future[_Result]":
        """Give a job; its result or exception comes with the future. It runs in the context of the
        caller, so that the log knows on whose behalf.

        After `close` the future is cancelled.
        """
        future: Future[_Result] = Future()
        context = contextvars.copy_context()
        with self._lock:
            if self._closing:
                future.cancel()
                return future
            self._jobs.put((lambda: context.run(job), future))
        return future

    def do(self, job: Callable[[], _Result]) -> _Result:
        """Give a job and wait for it."""
        return self.submit(job).result()

    def after(self, seconds: float, job: Callable[[], object]) -> None:
        """Give a job that waits first; nobody waits for it."""
        with self._lock:
            due = time.monotonic() + seconds
            heapq.heappush(self._later, (due, next(self._numbers), job))
            self._jobs.put((lambda: None, Future()))  # so that the thread looks at the clock

    def check(self, turn_s: float = _TURN_S, longest_job_s: float = _LONGEST_JOB_S) -> None:
        """See that jobs are done: one that does nothing has its turn, or the one before it is not
        at work for too long. Raises `SixlaneError` otherwise.
        """
        turn = self.submit(lambda: None)
        if wait([turn], turn_s).done and not turn.cancelled():
            return
        since = self._at_work_since
        if turn.cancelled() or not self._thread.is_alive():
            raise SixlaneError("the applier has ended")
        if since is not None and time.monotonic() - since > longest_job_s:
            raise SixlaneError(f"the applier is at one job for more than {longest_job_s:g} s")

    def close(self) -> None:
        """Finish the job at hand and stop; those that wait are cancelled."""
        with self._lock:
            self._closing = True
            self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            work = self._next()
            if work is None:
                continue
            job, future = work
            if not future.set_running_or_notify_cancel():
                continue
            self._at_work_since = time.monotonic()
            try:
                future.set_result(job())
            except BaseException as error:
                future.set_exception(error)
            self._at_work_since = None
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._jobs.get_nowait()
                if left is not None:
                    left[1].cancel()

    def _next(self) -> _Work | None:
        with self._lock:
            due = self._later[0][0] if self._later else None
        try:
            if due is None:
                return self._jobs.get()
            wait = due - time.monotonic()
            return self._jobs.get(timeout=wait) if wait > 0 else self._jobs.get_nowait()
        except queue.Empty:
            with self._lock:
                _, _, job = heapq.heappop(self._later)
            return _logged(job), Future()


def _logged(job: Callable[[], object]) -> Callable[[], object]:
    def run() -> None:
        try:
            job()
        except Exception:
            _log.exception("a job failed that nobody waits for")

    return run
