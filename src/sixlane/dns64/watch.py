# SPDX-License-Identifier: Apache-2.0
"""Notice at once when a named ends, child of ours or not."""

import contextlib
import os
import selectors
import threading
from collections.abc import Callable, Mapping


class Watcher:
    """Watches processes from a thread of its own, which calls `on_end(name, pid)` for each that
    ends, once. `on_end` must be quick.
    """

    def __init__(self, on_end: Callable[[str, int], None]) -> None:
        self._on_end = on_end
        self._wanted: dict[str, int] = {}
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="dns64-watch", daemon=True)
        self._thread.start()

    def watch(self, pids: Mapping[str, int]) -> None:
        """From now on, these and no others: pids by the names that `on_end` is told."""
        with self._lock:
            self._wanted = dict(pids)
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        self._closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def _run(self) -> None:
        opened: dict[tuple[str, int], int] = {}
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._closing:
                for key, _ in selector.select():
                    if key.fd == self._wake:
                        with contextlib.suppress(BlockingIOError):
                            os.eventfd_read(self._wake)
                        self._follow(selector, opened)
                    else:
                        self._ended(selector, opened, key.data)
            for fd in opened.values():
                os.close(fd)

    def _follow(self, selector: selectors.BaseSelector, opened: dict[tuple[str, int], int]) -> None:
        with self._lock:
            wanted = set(self._wanted.items())
        for gone in opened.keys() - wanted:
            fd = opened.pop(gone)
            selector.unregister(fd)
            os.close(fd)
        for new in wanted - opened.keys():
            try:
                fd = os.pidfd_open(new[1])
            except ProcessLookupError:
                self._forget(new)
                self._on_end(*new)
                continue
            opened[new] = fd
            selector.register(fd, selectors.EVENT_READ, new)

    def _ended(
        self,
        selector: selectors.BaseSelector,
        opened: dict[tuple[str, int], int],
        which: tuple[str, int],
    ) -> None:
        fd = opened.pop(which, None)
        if fd is not None:
            selector.unregister(fd)
            os.close(fd)
            self._forget(which)
            self._on_end(*which)

    def _forget(self, which: tuple[str, int]) -> None:
        with self._lock:
            if self._wanted.get(which[0]) == which[1]:
                del self._wanted[which[0]]
