# SPDX-License-Identifier: Apache-2.0
"""Sessions of another gateway as the data path takes them, and what it says became of them."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Literal, get_args

from sixlane.bpf import Map, Program
from sixlane.datapath import layout
from sixlane.datapath.layout import ImportResult
from sixlane.datapath.sessions import PROTOCOLS, STATES, Session

if TYPE_CHECKING:
    import numpy as np

    from sixlane.datapath.tables import Rows

ImportName = Literal["made", "present", "notPool4", "notPool6", "conflict", "limited", "noRoom"]
"""What became of a session: made, or there already; else why not.

`notPool4`: clients like that one do not get its address, or its port; `notPool6`: there is no such
prefix; `conflict`: one of its ends is bound to another one, or its port's block is another
client's; `limited`: its client has all the blocks or sessions that it may have.
"""
IMPORT_NAMES: tuple[ImportName, ...] = get_args(ImportName)
CARRIED: tuple[ImportName, ...] = ("made", "present")

_NAMES: dict[int, ImportName] = {
    ImportResult.IMPORT_MADE: "made",
    ImportResult.IMPORT_PRESENT: "present",
    ImportResult.IMPORT_NOT_POOL4: "notPool4",
    ImportResult.IMPORT_CONFLICT: "conflict",
    ImportResult.IMPORT_LIMITED: "limited",
    ImportResult.IMPORT_NO_ROOM: "noRoom",
}
_MOST_MS = (1 << 32) - 1


def import_sessions(
    program: Program, imports: Map, sessions: Sequence[Session], prefix_ids: Mapping[str, int]
) -> list[ImportName]:
    """Has the data path make them; what became of each. `prefix_ids`: by the text of the prefix,
    which is what stands in the sessions' `prefix`."""
    import numpy as np

    known = [one for one in sessions if one.prefix in prefix_ids]
    shared: Rows = np.frombuffer(imports.mmap(), np.dtype(layout.SessionImport))
    results = iter(_made(program, shared, known, prefix_ids))
    return [next(results) if one.prefix in prefix_ids else "notPool6" for one in sessions]


def _made(
    program: Program, shared: "Rows", sessions: Sequence[Session], prefix_ids: Mapping[str, int]
) -> Iterator[ImportName]:
    """`shared`: where the program finds them."""
    rest = iter(sessions)
    while batch := list(islice(rest, len(shared))):
        shared[: len(batch)] = _rows(batch, prefix_ids)
        program.call(layout.ImportBatch(count=len(batch)))
        yield from map(_NAMES.__getitem__, shared["result"][: len(batch)].tolist())


def _rows(sessions: Sequence[Session], prefix_ids: Mapping[str, int]) -> "Rows":
    import numpy as np

    rows: Rows = np.zeros(len(sessions), np.dtype(layout.SessionImport))
    columns = Session(*zip(*sessions, strict=True))  # type: ignore[arg-type]
    rows["inside"] = _packed(socket.AF_INET6, columns.inside, rows["inside"].dtype)
    rows["pool"] = _packed(socket.AF_INET, columns.pool, rows["pool"].dtype)
    rows["remote"] = _packed(socket.AF_INET, columns.remote, rows["remote"].dtype)
    rows["inside_port"] = columns.inside_port
    rows["pool_port"] = columns.pool_port
    rows["remote_port"] = columns.remote_port
    rows["protocol"] = [PROTOCOLS[one.protocol] for one in sessions]
    rows["prefix"] = [prefix_ids[one.prefix or ""] for one in sessions]
    rows["state"] = [STATES[one.state] for one in sessions]
    rows["left_ms"] = [min(round(one.remaining_s * 1000), _MOST_MS) for one in sessions]
    rows["result"] = ImportResult.IMPORT_NO_ROOM  # without tables, nothing is looked at
    return rows


def _packed(family: int, addresses: Sequence[str], of: "np.dtype[np.void]") -> "Rows":
    import numpy as np

    return np.frombuffer(b"".join(socket.inet_pton(family, one) for one in addresses), of)
