# SPDX-License-Identifier: Apache-2.0
"""Word of changes in one namespace: links, addresses, routes, policy rules, neighbours, and the
sysctls of devices that the kernel tells of (forwarding, rp_filter, proxy_ndp)."""

import contextlib
import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator

from sixlane.errors import KernelError
from sixlane.net import policy

KINDS = frozenset(
    {"link", "address", "route", "rule", "neighbour", "setting", "multipath", "native"}
)
"""Beside `route` come `multipath`, if one by more than its destination was added or changed, and
`native`, if one that the monitor was told to look for was added, changed or removed."""

OF_WAYS = frozenset({"link", "address", "route", "rule", "neighbour"})
"""What decides where a packet goes next."""

# RTM_NEW* and RTM_DEL* of each kind
_KIND_OF = {
    **dict.fromkeys((16, 17), "link"),
    **dict.fromkeys((20, 21), "address"),
    **dict.fromkeys((24, 25, 104, 105), "route"),  # 104, 105: next-hop objects
    **dict.fromkeys((28, 29), "neighbour"),
    **dict.fromkeys((32, 33), "rule"),
    **dict.fromkeys((80, 81), "setting"),
}
_ROUTES = (24, 25)
_BY_MORE = {24: policy.route_looks_at_more, 104: policy.next_hop_is_group}
# RTNLGRP_*: link, neighbour, addresses, routes, rules and sysctls of both families, next-hop
# objects
_GROUPS = (1, 3, 5, 7, 8, 9, 11, 19, 24, 25, 32)

_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_SO_RCVBUFFORCE = 33
_BUFFER = 32 << 20  # 10,000 routes at once need some 10 MB; taken only while they wait
_DATAGRAM = 1 << 16
_MOST_DATAGRAMS = 10_000


class Monitor:
    """Tells *what kinds* of things changed in the namespace in which it was made.

    It may be used by one thread and closed by another. The word is a hint to look again, not the
    news itself: after a loss (ENOBUFS) it says that everything changed.
    `is_native` picks routes, whole netlink messages, whose changes are told beside.
    """

    def __init__(self, is_native: Callable[[bytes], bool] = lambda _: False) -> None:
        self._is_native = is_native
        self._lock = threading.Lock()
        self._closed = False
        self._users = 0
        try:
            flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_NETLINK, flags, 0)
            try:
                self._subscribe()
                self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            except BaseException:
                self._socket.close()
                raise
        except OSError as error:
            raise KernelError(error.errno or errno.EIO, "watch the network") from error

    def fileno(self) -> int:
        """Readable when there is something to drain; -1 once closed."""
        return -1 if self._closed else self._socket.fileno()

    def wait(self, timeout: float | None = None) -> bool:
        """Whether there is something to drain, waited for at most `timeout` seconds.

        Returns at once, with False, when another thread closes the monitor.
        """
        with self._using() as usable:
            if not usable:
                return False
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.register(self._wake, select.POLLIN)
            poll.poll(None if timeout is None else timeout * 1000)
            return not self._closed and bool(poll.poll(0))

    def drain(self) -> set[str]:
        """The kinds (of `KINDS`) of all that changed since the last call; never waits.

        An empty set: nothing changed, or the monitor is closed.
        """
        changed: set[str] = set()
        with self._using() as usable:
            if not usable:
                return changed
            for _ in range(_MOST_DATAGRAMS):  # a storm of changes must not hold the caller
                try:
                    changed |= _kinds(self._socket.recv(_DATAGRAM), self._is_native)
                except BlockingIOError:
                    return changed
                except OSError as error:
                    if error.errno != errno.ENOBUFS:
                        raise KernelError(error.errno or errno.EIO, "watch the network") from error
                    changed |= KINDS
        return changed

    def close(self) -> None:
        """Stop watching; from any thread, and more than once if need be."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._wake, 1)
            if not self._users:
                self._release()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _subscribe(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, 0))
        for group in _GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)

    @contextlib.contextmanager
    def _using(self) -> Iterator[bool]:
        """Keep the descriptors open for the block: a number that is free is soon another file."""
        with self._lock:
            usable = not self._closed
            self._users += usable
        try:
            yield usable
        finally:
            with self._lock:
                self._users -= usable
                if usable and self._closed and not self._users:
                    self._release()

    def _release(self) -> None:
        self._socket.close()
        os.close(self._wake)


def _kinds(data: bytes, is_native: Callable[[bytes], bool]) -> set[str]:
    found: set[str] = set()
    offset = 0
    while offset + 16 <= len(data):
        length, message_type = struct.unpack_from("=IH", data, offset)
        if message_type in _KIND_OF:
            found.add(_KIND_OF[message_type])
        looks_at_more = _BY_MORE.get(message_type)
        if looks_at_more is not None and looks_at_more(data[offset : offset + length]):
            found.add("multipath")
        if message_type in _ROUTES and is_native(data[offset : offset + length]):
            found.add("native")
        offset += max((length + 3) & ~3, 16)
    return found
