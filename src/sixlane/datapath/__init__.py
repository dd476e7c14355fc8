# SPDX-License-Identifier: Apache-2.0
"""The data path's Python side: generated structs, typed tables, loading and adoption, counters."""

from sixlane.datapath.attach import Attachment, Entry, Mode
from sixlane.datapath.commit import Written
from sixlane.datapath.counters import Counter, Counters, Kind
from sixlane.datapath.loader import Datapath
from sixlane.datapath.pools import NO_ROOM, Placed, PoolEntry, PoolRange, Room, Stateful, Taken
from sixlane.datapath.tables import EamRows, PrefixEntry, SlowPath, Table, Tables, digest_of

__all__ = [
    "NO_ROOM",
    "Attachment",
    "Counter",
    "Counters",
    "Datapath",
    "EamRows",
    "Entry",
    "Kind",
    "Mode",
    "Placed",
    "PoolEntry",
    "PoolRange",
    "PrefixEntry",
    "Room",
    "SlowPath",
    "Stateful",
    "Table",
    "Tables",
    "Taken",
    "Written",
    "digest_of",
]
