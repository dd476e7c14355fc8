# SPDX-License-Identifier: Apache-2.0
"""The data path's Python side: generated structs, typed tables, loading and adoption, counters."""

from sixlane.datapath.attach import Attachment, Entry, Mode
from sixlane.datapath.counters import Counter, Counters
from sixlane.datapath.loader import Datapath
from sixlane.datapath.tables import EamEntry, PrefixEntry, SlowPath, Tables

__all__ = [
    "Attachment",
    "Counter",
    "Counters",
    "Datapath",
    "EamEntry",
    "Entry",
    "Mode",
    "PrefixEntry",
    "SlowPath",
    "Tables",
]
