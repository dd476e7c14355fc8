# SPDX-License-Identifier: Apache-2.0
"""Records of sessions as numpy has them, copied while packets change them."""

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv6Network
from typing import TYPE_CHECKING, Any, TypeVar, cast

from sixlane.datapath.layout import SessionState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sixlane.datapath.tables import Rows

_Made = TypeVar("_Made")

# numpy takes no members of an IntEnum beside its own unsigned numbers.
STATE_BITS = int(SessionState.SESSION_STATE_BITS)
STATE_MASK = int(SessionState.SESSION_STATE_MASK)
_ESTABLISHED = int(SessionState.SESSION_ESTABLISHED)
_TRANS = int(SessionState.SESSION_TRANS)


@dataclass(frozen=True)
class Memory:
    """The maps' contents in their layout: `sessions`, `bindings`, `ports4` and `syns` as shared
    with the kernel, the others as they were, empty if they are not asked for.

    `*_fresh`: how many slots were ever used; `clients`: all keys, and all values; `counted`: of
    other tables by name, how many entries there are, and room for.
    """

    sessions: memoryview
    bindings: memoryview
    ports4: memoryview
    syns: memoryview
    sessions_fresh: int
    bindings_fresh: int
    clients: tuple[bytes, bytes] = (b"", b"")
    client_room: int = 0
    used4: bytes = b""
    blocks4: bytes = b""
    counted: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def owned(shared: "Rows") -> "Rows":
    """A copy of those records of sessions that were one session's all the time.

    A slot that changes hands gets another serial number once it is free, and its word when all
    else is there: whoever finds a state, then the record, then the same serial number, has copied
    one session.
    """
    import numpy as np

    serial = shared["serial"].copy()
    word = shared["word"].copy()
    rows: Rows = shared.copy()
    mask = (word & STATE_MASK) != 0
    mask &= ~np.isin(state_of(rows), (SessionState.SESSION_FREE, SessionState.SESSION_ADDED))
    mask &= shared["serial"] == serial
    kept: Rows = rows[mask]
    return kept


def by_now(rows: "Rows", now: int, after_established: int) -> "Rows":
    """Records of sessions as of the jiffy `now`: one that was established until before is in TRANS,
    for so many jiffies, whether or not the data path has noted it (word_by_now() in session.h).
    Changes `rows`.
    """
    lapsed = (state_of(rows) == _ESTABLISHED) & ((rows["word"] >> STATE_BITS) <= now)
    until = (rows["word"][lapsed] >> STATE_BITS) + after_established
    rows["word"][lapsed] = (until << STATE_BITS) | _TRANS
    return rows


def state_of(rows: "Rows") -> "NDArray[Any]":
    import numpy as np

    state: NDArray[Any] = (rows["word"] & STATE_MASK).astype(np.int64)
    return state


def is_in(addresses: "Rows", network: IPv6Network) -> "NDArray[Any]":
    import numpy as np

    low = (1 << 64) - 1
    first, mask = int(network.network_address), int(network.netmask)
    found: NDArray[Any] = (addresses["hi"] & np.uint64(mask >> 64)) == np.uint64(first >> 64)
    found &= (addresses["lo"] & np.uint64(mask & low)) == np.uint64(first & low)
    return found


class _Texts(dict[bytes, str]):
    """Addresses by their bytes, of one family; each is written once."""

    def __init__(self, family: int) -> None:
        self._family = family

    def __missing__(self, packed: bytes) -> str:
        self[packed] = text = socket.inet_ntop(self._family, packed)
        return text


def texts(addresses: "Rows") -> list[str]:
    """Of big-endian addresses of either family."""
    import numpy as np

    size = addresses.dtype.itemsize
    written = _Texts(socket.AF_INET if size == 4 else socket.AF_INET6)
    return list(map(written.__getitem__, np.frombuffer(addresses.tobytes(), f"V{size}").tolist()))


def named(numbers: "NDArray[Any]", names: Mapping[int, Any]) -> Iterable[Any]:
    return map(names.get, numbers.tolist())


def tuples(of: type[_Made], *columns: Iterable[Any]) -> list[_Made]:
    """Named tuples of columns, made as all tuples are: to call the class takes twice as long."""
    make = cast(Callable[[Any], _Made], partial(tuple.__new__, cast(Any, of)))
    return list(map(make, zip(*columns, strict=True)))
