# SPDX-License-Identifier: Apache-2.0
"""What services and their backends do and carry, as plain data for people and programs."""

from collections.abc import Mapping
from typing import Any

from sixlane.agent.conditions import rfc3339
from sixlane.agent.health import BackendHealth
from sixlane.datapath.counters import Counter
from sixlane.datapath.layout import BackendState
from sixlane.lb import BackendUse, FrontendUse, ServiceUse
from sixlane.lb.status import STATE_NAMES
from sixlane.model import Backend, Service

_ROUND = 4  # digits of a share


def backends_data(
    service: Service, use: ServiceUse | None, health: Mapping[bytes, BackendHealth]
) -> list[dict[str, Any]]:
    """As desired, each with how it does. `use`: None: the service is not in force; `health`: by
    address and port, of those that are checked."""
    backends = service.spec.backends
    known = {one.naming: one for one in use.backends} if use else {}
    return [
        backend_data(backend, known.get(naming), health.get(naming))
        for naming, backend in zip(backends.namings, backends, strict=True)
    ]


def backend_data(
    backend: Backend, use: BackendUse | None, health: BackendHealth | None
) -> dict[str, Any]:
    """`use`: None: it is not in force; `health`: None: it is not checked."""
    return backend.model_dump(mode="json", by_alias=True, exclude_none=True) | {
        "status": None if use is None else _status(use),
        "health": None if health is None else _health(health),
    }


def service_count(use: ServiceUse) -> dict[str, Any]:
    """All frontends together."""
    return {
        "service": use.name,
        **_sum(use.forwarded),
        "newFlows": use.flows,
        "activeFlows": use.active_flows,
        "states": _states(use),
        "dropped": _sum(use.dropped),
        "drops": _drops(use.drops),
    }


def service_counters(use: ServiceUse) -> dict[str, Any]:
    """With each frontend and backend."""
    return service_count(use) | {
        "frontends": [_frontend(one) for one in use.frontends],
        "backends": [_backend(one) for one in use.backends],
    }


def balanced_status(services: int, states: Mapping[BackendState, int]) -> dict[str, Any]:
    """How many there are in force, and how many backends in each state."""
    return {
        "services": services,
        "backends": {name: states.get(state, 0) for state, name in STATE_NAMES.items()},
    }


def _status(use: BackendUse) -> dict[str, Any]:
    return {
        "state": use.state,
        "share": None if use.share is None else round(use.share, _ROUND),
        **_carried(use),
    }


def _health(health: BackendHealth) -> dict[str, Any]:
    return {
        "verdict": health.verdict,
        "since": rfc3339(health.since),
        "way": health.way,
        "result": health.result,
        "well": health.is_well,
        "latencySeconds": health.latency_s,
        "checkedAt": None if health.checked_at is None else rfc3339(health.checked_at),
        "damped": health.damped,
    }


def _states(use: ServiceUse) -> dict[str, int]:
    states: dict[str, int] = dict.fromkeys(STATE_NAMES.values(), 0)
    for one in use.backends:
        states[one.state] += 1
    return states


def _frontend(one: FrontendUse) -> dict[str, Any]:
    return {
        "address": str(one.address),
        "port": one.port,
        "protocol": one.protocol,
        **_sum(one.count.forwarded),
        "newFlows": one.count.flows,
        "dropped": _sum(one.count.dropped),
        "drops": _drops(one.count.drops),
    }


def _backend(one: BackendUse) -> dict[str, Any]:
    port = {"port": one.port} if one.port else {}
    return {"address": str(one.address), **port, "state": one.state, **_carried(one)}


def _carried(one: BackendUse) -> dict[str, Any]:
    return {
        **_sum(one.count.forwarded),
        "newFlows": one.count.flows,
        "activeFlows": one.active_flows,
    }


def _drops(drops: Mapping[str, Counter]) -> dict[str, Any]:
    return {reason: _sum(count) for reason, count in sorted(drops.items())}


def _sum(counter: Counter) -> dict[str, int]:
    return {"packets": counter.packets, "bytes": counter.bytes}
