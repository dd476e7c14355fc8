# SPDX-License-Identifier: Apache-2.0
"""How the agent does, as plain data for people and programs."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

import sixlane
from sixlane.agent.watch import Snapshot
from sixlane.datapath import Counters
from sixlane.datapath.sessions import SessionRecords, Use, Wanted
from sixlane.errors import SixlaneError

_STARTED_S = time.monotonic()


def status_data(
    snapshot: Snapshot,
    gateway: Mapping[str, Any] | None,
    resolvers: Sequence[Mapping[str, Any]],
    network: Mapping[str, Any] | None,
    failures: Mapping[str, str],
    refusal: SixlaneError | None,
    balanced: Mapping[str, Any] | None,
    orphaned: bool,
) -> dict[str, Any]:
    """`failures`: by part, why it could not be put in force; `refusal`: why the store cannot be
    written; `balanced`: of services, None: there are none; `orphaned`: something is in force that
    nobody asked for.
    """
    problems = [f"{part}: {problem}" for part, problem in sorted(failures.items())]
    problems += [f"gateway: {problem}" for problem in (gateway or {}).get("problems", ())]
    problems += [f"pods: {problem}" for problem in (network or {}).get("problems", ())]
    problems += [
        f"dns64: {one['name']} is {one['state']}" + (f" ({one['note']})" if one["note"] else "")
        for one in resolvers
        if one["state"] != "running" and "dns64" not in failures
    ]
    if refusal is not None:
        problems.append(f"store: no change is taken: {refusal}")
    if orphaned:
        problems.append(
            "gateway: tables are in force, and nothing is stored: they are left alone "
            "(apply to replace them, or sixlane teardown)"
        )
    return {
        "version": sixlane.__version__,
        "pid": os.getpid(),
        "uptimeSeconds": round(time.monotonic() - _STARTED_S),
        "revision": snapshot.revision,
        "resources": [
            {
                "kind": key.kind,
                "name": key.name,
                "generation": entry.stored.generation,
                "observedGeneration": entry.standing.observed_generation,
                "ready": entry.standing.ready,
            }
            for key, entry in sorted(snapshot.entries.items())
        ],
        "gateway": gateway,
        "dns64": resolvers,
        "network": network,
        "balanced": balanced,
        "problems": problems,
    }


def counters_data(counters: Counters | None) -> dict[str, Any]:
    """Packets and bytes by reason, and by prefix and direction; None: there is no data path."""
    if counters is None:
        return {"reasons": {}, "prefixes": {}, "traffic": []}
    return {
        "reasons": {
            reason: {"packets": count.packets, "bytes": count.bytes}
            for reason, count in counters.reasons.items()
        },
        "prefixes": {
            name: {
                str(direction): {"packets": count.packets, "bytes": count.bytes}
                for direction, count in directions.items()
            }
            for name, directions in counters.prefixes.items()
        },
        "traffic": [
            {
                "prefix": kind.prefix,
                "direction": str(kind.direction),
                "protocol": kind.protocol,
                "reason": kind.reason,
                "packets": count.packets,
                "bytes": count.bytes,
            }
            for kind, count in counters.traffic.items()
        ],
    }


def session_count_data(records: SessionRecords | None, wanted: Wanted) -> dict[str, Any]:
    """Sessions that live by protocol and state, and the fill of what has a limit; None: there is no
    pool4.
    """
    if records is None:
        return {"sessions": [], "tables": {}, "pool4": []}
    return {
        "sessions": [
            {"protocol": protocol, "state": state, "sessions": number}
            for (protocol, state), number in records.count(wanted).items()
        ],
        "tables": {name: _use(use) for name, use in records.fill().items()},
        "pool4": [
            {
                "address": str(one.address),
                "ports": {protocol: _use(use) for protocol, use in one.ports.items()},
                "blocks": _use(one.blocks),
            }
            for one in records.pool_use()
        ],
    }


def _use(use: Use) -> dict[str, int]:
    return {"used": use.used, "room": use.room}
