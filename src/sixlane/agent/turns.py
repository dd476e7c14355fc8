# SPDX-License-Identifier: Apache-2.0
"""Many at work at once, each on another thing; or one alone."""

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager


class Turns:
    """May be used by any thread; nobody takes a second turn within one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy: set[Hashable] = set()
        self._alone = False

    @contextmanager
    def on(self, thing: Hashable) -> Iterator[None]:
        """Waits while somebody is at work on it, or alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone and thing not in self._busy)
            self._busy.add(thing)
        with self._ended(lambda: self._busy.discard(thing)):
            yield

    @contextmanager
    def on_idle(self, thing: Hashable) -> Iterator[bool]:
        """Whether it is one's turn: not while somebody is at work on it, or alone."""
        with self._changed:
            idle = not self._alone and thing not in self._busy
            if idle:
                self._busy.add(thing)
        if not idle:
            yield False
            return
        with self._ended(lambda: self._busy.discard(thing)):
            yield True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until nobody is at work; whoever comes meanwhile waits for the end of this."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True
            self._changed.wait_for(lambda: not self._busy)
        with self._ended(self._let_in):
            yield

    def _let_in(self) -> None:
        self._alone = False

    @contextmanager
    def _ended(self, end: Callable[[], object]) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                end()
                self._changed.notify_all()
