# SPDX-License-Identifier: Apache-2.0
"""The TCP state machine of RFC 6146 section 3.5.2.2.

CLOSED has no session and so no place here: what happens there is in `nat64`.
"""

from enum import Enum, StrEnum
from typing import NamedTuple

from sixlane.rfc.rfc6146.packets import Flags


class TcpState(StrEnum):
    """As the RFC names them."""

    V4_INIT = "V4 INIT"
    V6_INIT = "V6 INIT"
    ESTABLISHED = "ESTABLISHED"
    V4_FIN_RCV = "V4 FIN RCV"
    V6_FIN_RCV = "V6 FIN RCV"
    V4_FIN_V6_FIN_RCV = "V4 FIN + V6 FIN RCV"
    TRANS = "TRANS"


class Side(Enum):
    """Where a segment comes from."""

    V4 = 4
    V6 = 6


class Segment(Enum):
    """What the state machine sees of a segment."""

    RST = "RST"
    SYN = "SYN"
    FIN = "FIN"
    OTHER = "other"

    @classmethod
    def of(cls, flags: Flags) -> "Segment":
        """Of several flags that one counts which an endpoint looks at first (RFC 9293 3.10.7.4)."""
        if flags.rst:
            return cls.RST
        if flags.syn:
            return cls.SYN
        return cls.FIN if flags.fin else cls.OTHER


class Timer(Enum):
    """Which lifetime a segment gives the session."""

    EST = "TCP_EST"
    TRANS = "TCP_TRANS"
    UNCHANGED = "unchanged"


class Step(NamedTuple):
    """What a segment does to a session. It is translated and sent on in any case."""

    state: TcpState
    timer: Timer


_FIN_RCV = {Side.V4: TcpState.V4_FIN_RCV, Side.V6: TcpState.V6_FIN_RCV}


def step(state: TcpState, side: Side, segment: Segment) -> Step:
    """Return what becomes of a session in `state`."""
    match state:
        case TcpState.V4_INIT:
            return _v4_init(side, segment)
        case TcpState.V6_INIT:
            return _v6_init(side, segment)
        case TcpState.ESTABLISHED:
            return _established(side, segment)
        case TcpState.V4_FIN_RCV | TcpState.V6_FIN_RCV:
            return _fin_rcv(state, side, segment)
        case TcpState.V4_FIN_V6_FIN_RCV:
            return Step(state, Timer.UNCHANGED)
        case TcpState.TRANS:
            return _trans(segment)


def _v4_init(side: Side, segment: Segment) -> Step:
    if (side, segment) == (Side.V6, Segment.SYN):
        return Step(TcpState.ESTABLISHED, Timer.EST)
    return Step(TcpState.V4_INIT, Timer.UNCHANGED)


def _v6_init(side: Side, segment: Segment) -> Step:
    match side, segment:
        case Side.V4, Segment.SYN:
            return Step(TcpState.ESTABLISHED, Timer.EST)
        case Side.V6, Segment.SYN:
            return Step(TcpState.V6_INIT, Timer.TRANS)
        case _:
            return Step(TcpState.V6_INIT, Timer.UNCHANGED)


def _established(side: Side, segment: Segment) -> Step:
    match segment:
        case Segment.RST:
            return Step(TcpState.TRANS, Timer.TRANS)
        case Segment.FIN:
            # The RFC names no lifetime here. A connection is idle only since its last segment.
            return Step(_FIN_RCV[side], Timer.EST)
        case _:
            return Step(TcpState.ESTABLISHED, Timer.EST)


def _fin_rcv(state: TcpState, side: Side, segment: Segment) -> Step:
    if segment is Segment.FIN and state is not _FIN_RCV[side]:
        return Step(TcpState.V4_FIN_V6_FIN_RCV, Timer.TRANS)
    return Step(state, Timer.EST)


def _trans(segment: Segment) -> Step:
    if segment is Segment.RST:
        return Step(TcpState.TRANS, Timer.UNCHANGED)
    return Step(TcpState.ESTABLISHED, Timer.EST)
