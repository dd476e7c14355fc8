# SPDX-License-Identifier: Apache-2.0
"""The data path's Python side: generated structs, typed tables, loading and adoption, counters."""

from sixlane.datapath.attach import Attachment, Entry, Mode
from sixlane.datapath.commit import Written
from sixlane.datapath.counters import Counter, Counters, Kind
from sixlane.datapath.digest import digest_of
from sixlane.datapath.loader import Datapath
from sixlane.datapath.pools import NO_ROOM, Placed, PoolEntry, PoolRange, Room, Stateful, Taken
from sixlane.datapath.sessions import StaticBinding
from sixlane.datapath.sweeps import NOTHING_SWEPT, Probe, Swept
from sixlane.datapath.tables import EamRows, PrefixEntry, SlowPath, Table, Tables

__all__ = [
    "NOTHING_SWEPT",
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
    "Probe",
    "Room",
    "SlowPath",
    "Stateful",
    "StaticBinding",
    "Swept",
    "Table",
    "Tables",
    "Taken",
    "Written",
    "digest_of",
]
