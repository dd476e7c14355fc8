# SPDX-License-Identifier: Apache-2.0
"""RFC 6146: stateful NAT64, on a virtual clock.

At the level of tuples and TCP flags: `rfc7915` and what it is made of translate the bytes.
Which port a new binding gets is chosen by whoever calls; `Nat64` judges the choice.
"""

from sixlane.rfc.rfc6146.config import (
    ALL_PORTS,
    Blocks,
    Config,
    Lifetimes,
    Limits,
    Pool4,
    PortRange,
    StaticEntry,
)
from sixlane.rfc.rfc6146.nat64 import Nat64, State
from sixlane.rfc.rfc6146.outcome import (
    Drop,
    DropReason,
    Forward,
    NotOurs,
    Outcome,
    OwnError,
    Probe,
    Sent,
    Stored,
)
from sixlane.rfc.rfc6146.packets import (
    ACK,
    SYN,
    Endpoint4,
    Endpoint6,
    Flags,
    Icmp4Error,
    Icmp6Error,
    Other4,
    Other6,
    Packet4,
    Packet6,
    Protocol,
)
from sixlane.rfc.rfc6146.pool4 import Candidates, Choose, Holding, IllegalChoice, Rank, lowest
from sixlane.rfc.rfc6146.tables import Binding, Session, StoredSyn
from sixlane.rfc.rfc6146.tcp import Segment, Side, Step, TcpState, Timer, step

__all__ = [
    "ACK",
    "ALL_PORTS",
    "SYN",
    "Binding",
    "Blocks",
    "Candidates",
    "Choose",
    "Config",
    "Drop",
    "DropReason",
    "Endpoint4",
    "Endpoint6",
    "Flags",
    "Forward",
    "Holding",
    "Icmp4Error",
    "Icmp6Error",
    "IllegalChoice",
    "Lifetimes",
    "Limits",
    "Nat64",
    "NotOurs",
    "Other4",
    "Other6",
    "Outcome",
    "OwnError",
    "Packet4",
    "Packet6",
    "Pool4",
    "PortRange",
    "Probe",
    "Protocol",
    "Rank",
    "Segment",
    "Sent",
    "Session",
    "Side",
    "State",
    "StaticEntry",
    "Step",
    "Stored",
    "StoredSyn",
    "TcpState",
    "Timer",
    "lowest",
    "step",
]
