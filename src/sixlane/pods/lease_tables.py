# SPDX-License-Identifier: Apache-2.0
"""The tables of leases, and the statements on them; transactions are the caller's."""

import sqlite3
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address
from typing import Any, NamedTuple

from sixlane import database
from sixlane.model.addresses import AnyNetwork
from sixlane.pods.ipam import Span, address_of, by_family
from sixlane.pods.pod import Attachment, Lease, PodName

VERSION = 1

REMEMBERED = 1 << 17
"""So many addresses are remembered after they were given back. Of a range with more of them, those
that are not remembered have rested longer than all that are."""

_TABLES = """
CREATE TABLE lease (  -- namespace, pod, uid: NULL where nobody said
    id INTEGER PRIMARY KEY,
    container_id TEXT NOT NULL,
    ifname TEXT NOT NULL,
    netns TEXT NOT NULL,
    namespace TEXT,
    pod TEXT,
    uid TEXT,
    pool TEXT NOT NULL,
    egress BLOB,
    device TEXT NOT NULL,
    host_device TEXT NOT NULL UNIQUE,
    mtu INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    configuration TEXT NOT NULL,
    UNIQUE (container_id, ifname)
);
CREATE TABLE held (  -- 16 bytes each. own: 0 of what the lease's egress stands for
    address BLOB PRIMARY KEY,
    lease INTEGER NOT NULL REFERENCES lease,
    own INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX held_lease ON held (lease);
CREATE TABLE rested (turn INTEGER PRIMARY KEY, address BLOB NOT NULL UNIQUE);
CREATE TABLE start (network TEXT PRIMARY KEY, address BLOB NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = (
    "id, container_id, ifname, netns, namespace, pod, uid, pool, egress, device, host_device, mtu,"
    " ready, configuration"
)


class Held(NamedTuple):
    """An address of a lease; `own`: the pod itself has it."""

    number: int
    own: bool


def create(db: sqlite3.Connection) -> None:
    """Inside a transaction of the caller's."""
    database.execute(db, _TABLES)
    db.execute(f"PRAGMA user_version = {VERSION}")


def version(db: sqlite3.Connection) -> int:
    """0: there are no tables yet."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def every(db: sqlite3.Connection) -> list[Lease]:
    own: dict[int, list[int]] = {}
    for lease, address in db.execute("SELECT lease, address FROM held WHERE own"):
        own.setdefault(lease, []).append(int.from_bytes(address))
    rows = db.execute(f"SELECT {_COLUMNS} FROM lease ORDER BY container_id, ifname")
    return [_lease(row, own.get(row[0], ())) for row in rows]


def find(db: sqlite3.Connection, attachment: Attachment) -> Lease | None:
    query = f"SELECT {_COLUMNS} FROM lease WHERE container_id = ? AND ifname = ?"
    row = db.execute(query, attachment).fetchone()
    if row is None:
        return None
    held = db.execute("SELECT address FROM held WHERE lease = ? AND own", (row[0],))
    return _lease(row, [int.from_bytes(address) for (address,) in held])


def insert(db: sqlite3.Connection, lease: Lease, held: Iterable[Held]) -> None:
    """`held`: addresses that nobody has."""
    row = (
        *lease.attachment,
        lease.netns,
        *(lease.pod or (None, None, None)),
        lease.pool,
        lease.egress.packed if lease.egress else None,
        lease.device,
        lease.host_device,
        lease.mtu,
        lease.ready,
        lease.configuration,
    )
    values = ", ".join("?" * len(row))
    columns = _COLUMNS.removeprefix("id, ")
    added = db.execute(f"INSERT INTO lease ({columns}) VALUES ({values})", row)
    for number, own in held:
        address = number.to_bytes(16)
        db.execute("INSERT INTO held VALUES (?, ?, ?)", (address, added.lastrowid, own))
        db.execute("DELETE FROM rested WHERE address = ?", (address,))


def delete(db: sqlite3.Connection, attachment: Attachment) -> None:
    """Its addresses rest from now on."""
    query = "SELECT id FROM lease WHERE container_id = ? AND ifname = ?"
    (id,) = db.execute(query, attachment).fetchone()
    held = "SELECT address FROM held WHERE lease = ? ORDER BY address"
    db.execute(f"INSERT INTO rested (address) {held}", (id,))
    db.execute("DELETE FROM held WHERE lease = ?", (id,))
    db.execute("DELETE FROM lease WHERE id = ?", (id,))
    db.execute("DELETE FROM rested WHERE turn <= (SELECT max(turn) FROM rested) - ?", (REMEMBERED,))


def holder(db: sqlite3.Connection, number: int) -> Attachment | None:
    """Who has an address."""
    query = (
        "SELECT container_id, ifname FROM held JOIN lease ON lease.id = held.lease"
        " WHERE address = ?"
    )
    row = db.execute(query, (number.to_bytes(16),)).fetchone()
    return Attachment(*row) if row else None


def owner_of_device(db: sqlite3.Connection, host_device: str) -> Attachment | None:
    query = "SELECT container_id, ifname FROM lease WHERE host_device = ?"
    row = db.execute(query, (host_device,)).fetchone()
    return Attachment(*row) if row else None


def set_ready(db: sqlite3.Connection, attachment: Attachment) -> bool:
    """Whether it is there."""
    query = "UPDATE lease SET ready = 1 WHERE container_id = ? AND ifname = ?"
    return db.execute(query, attachment).rowcount == 1


class TableBook:
    """A `Book` of these tables."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def is_known(self, number: int) -> bool:
        address = number.to_bytes(16)
        query = (
            "SELECT EXISTS (SELECT 1 FROM held WHERE address = ?)"
            " OR EXISTS (SELECT 1 FROM rested WHERE address = ?)"
        )
        return bool(self._db.execute(query, (address, address)).fetchone()[0])

    def count(self, span: Span) -> int:
        ends = tuple(number.to_bytes(16) for number in span)
        query = (
            "SELECT (SELECT count(*) FROM held WHERE address BETWEEN ? AND ?)"
            " + (SELECT count(*) FROM rested WHERE address BETWEEN ? AND ?)"
        )
        return int(self._db.execute(query, ends * 2).fetchone()[0])

    def start(self, network: AnyNetwork) -> int | None:
        query = "SELECT address FROM start WHERE network = ?"
        row = self._db.execute(query, (str(network),)).fetchone()
        return int.from_bytes(row[0]) if row else None

    def begin_behind(self, network: AnyNetwork, number: int) -> None:
        """`number` was given, and nobody had been known to have it."""
        row = (str(network), (number + 1).to_bytes(16))
        self._db.execute("INSERT OR REPLACE INTO start VALUES (?, ?)", row)

    def longest_rested(self, spans: Iterable[Span]) -> int | None:
        ends = [number.to_bytes(16) for span in spans for number in span]
        if not ends:
            return None
        # In the order of turns the first one that fits will do: + keeps SQLite from looking all of
        # them up by their addresses, and sorting what it found.
        fits = " OR ".join(["+address BETWEEN ? AND ?"] * (len(ends) // 2))
        query = f"SELECT address FROM rested WHERE {fits} ORDER BY turn LIMIT 1"
        row = self._db.execute(query, ends).fetchone()
        return int.from_bytes(row[0]) if row else None


def _lease(row: Sequence[Any], own: Iterable[int]) -> Lease:
    (_, container_id, ifname, netns, namespace, pod, uid, pool, egress, *rest) = row
    device, host_device, mtu, ready, configuration = rest
    return Lease(
        Attachment(container_id, ifname),
        netns,
        None if pod is None else PodName(namespace, pod, uid),
        pool,
        by_family(map(address_of, own)),
        None if egress is None else IPv6Address(egress),
        device,
        host_device,
        mtu,
        bool(ready),
        configuration,
    )
