# SPDX-License-Identifier: Apache-2.0
"""The agent's answers as tables."""

from typing import Any

from sixlane.cli.output import Output

_LONGEST_LIST = 3


def show_applied(out: Output, applied: dict[str, Any]) -> None:
    """What an apply did, or would do."""
    would = " (dry run)" if applied["dryRun"] else ""
    for one in applied["resources"]:
        out.lines(f"{one['kind']} {one['name']} {one['outcome']}{would}")
    if out.wide or applied["dryRun"]:
        out.lines(*(f"  {change}" for change in applied["changes"]))


def show_status(out: Output, status: dict[str, Any]) -> None:
    late = [one["name"] for one in status["resources"] if not one["ready"]]
    out.lines(
        f"sixlaned {status['version']}, pid {status['pid']}, up {_span(status['uptimeSeconds'])}, "
        f"revision {status['revision']}" + (f" (not ready: {', '.join(late)})" if late else "")
    )
    if not status["resources"]:
        out.lines("no resources: sixlane apply -f FILE")
    else:
        out.lines("")
        gateway = status["gateway"] or {}
        _show_devices(out, gateway)
        _show_prefixes(out, gateway)
        _show_resolvers(out, status["dns64"])
        out.lines("")
    out.lines(*(f"problem: {problem}" for problem in status["problems"]))
    if not status["problems"]:
        out.lines("no problems")


def show_counters(out: Output, counters: dict[str, Any]) -> None:
    """Those that are not zero; `wide`: all."""
    reasons = [
        (reason, count["packets"], count["bytes"])
        for reason, count in counters["reasons"].items()
        if out.wide or count["packets"]
    ]
    out.table(("COUNTER", "PACKETS", "BYTES"), reasons)
    prefixes = [
        (name, direction, count["packets"], count["bytes"])
        for name, directions in counters["prefixes"].items()
        for direction, count in directions.items()
    ]
    out.table(("PREFIX", "DIRECTION", "PACKETS", "BYTES"), prefixes)
    if not reasons and not prefixes:
        out.lines("no packets yet")


def _show_devices(out: Output, gateway: dict[str, Any]) -> None:
    columns = ("DEVICE", "ATTACH", "ATTACHED", "STATE", "MTU")
    rows = [
        (
            device["name"],
            device["attach"],
            device["attached"],
            "up" if device["up"] else "down",
            device["mtu"],
        )
        for device in gateway.get("devices", ())
    ]
    out.table(columns, rows)


def _show_prefixes(out: Output, gateway: dict[str, Any]) -> None:
    columns = ("PREFIX", "POOL6", "IPV4", "SOURCE-RANGES", "EAM")
    rows = [
        (
            prefix["name"],
            prefix["prefix"],
            _list(prefix["ipv4"], out.wide),
            "all" if prefix["sourceRanges"] is None else prefix["sourceRanges"],
            prefix["eam"],
        )
        for prefix in gateway.get("prefixes", ())
    ]
    out.table(columns, rows)


def _show_resolvers(out: Output, resolvers: list[dict[str, Any]]) -> None:
    columns = ["DNS64", "STATE", "LISTEN", "PID", "RESTARTS"]
    rows = []
    for one in resolvers:
        places = [f"{place['address']}#{place['port']}" for place in one["listen"]]
        row = [one["name"], one["state"], _list(places, out.wide), one["pid"] or "-"]
        row.append(one["restarts"])
        if out.wide:
            row += [one["user"] or "-", one["note"] or "-"]
        rows.append(row)
    out.table([*columns, "USER", "NOTE"] if out.wide else columns, rows)


def _list(items: list[str], whole: bool) -> str:
    shown = items if whole else items[:_LONGEST_LIST]
    more = f" and {len(items) - len(shown)} more" if len(shown) < len(items) else ""
    return (", ".join(shown) + more) or "-"


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
