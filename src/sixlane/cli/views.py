# SPDX-License-Identifier: Apache-2.0
"""Resources as rows of tables, and as what `apply` accepts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sixlane.cli.ends import frontend_label
from sixlane.cli.output import Output, mark

_LONGEST_LIST = 3

View = Mapping[str, Any]


def desired(view: View) -> dict[str, Any]:
    """The resource without what the agent added: `apply` of it changes nothing."""
    added = ("generation", "resourceVersion")
    metadata = {key: value for key, value in view["metadata"].items() if key not in added}
    return {
        "apiVersion": view["apiVersion"],
        "kind": view["kind"],
        "metadata": metadata,
        "spec": view["spec"],
    }


def condition(view: View, type: str = "Ready") -> Mapping[str, Any]:
    """The condition of that type; `Unknown` if the agent tells none."""
    conditions = view.get("status", {}).get("conditions", ())
    found = next((one for one in conditions if one["type"] == type), None)
    return found or {"type": type, "status": "Unknown", "reason": "NotTold", "message": ""}


def is_ready(view: View) -> bool:
    """In force as it is desired now, and well."""
    observed = view.get("status", {}).get("observedGeneration")
    in_force: bool = observed == view["metadata"]["generation"]
    return in_force and condition(view)["status"] == "True"


COLUMNS = ("KIND", "NAME", "GENERATION", "READY", "REASON")
WIDE_COLUMNS = (*COLUMNS, "RESOURCE-VERSION", "MESSAGE")


def row(view: View, *, wide: bool) -> list[object]:
    """For the table of resources of any kind; one that is deleted has but a name."""
    if "spec" not in view:
        return [view["kind"], view["metadata"]["name"], *["-"] * (5 if wide else 3)]
    ready = condition(view)
    cells = [
        view["kind"],
        view["metadata"]["name"],
        generation_text(view),
        ready_cell(view),
        ready["reason"],
    ]
    return [*cells, view["metadata"]["resourceVersion"], ready["message"] or "-"] if wide else cells


def show_resources(out: Output, views: Iterable[View]) -> None:
    """One table of all kinds."""
    rows = [row(view, wide=out.wide) for view in views]
    out.table(WIDE_COLUMNS if out.wide else COLUMNS, rows)
    if not rows:
        out.lines("no resources: sixlane apply -f FILE")


def show_gateways(out: Output, views: Iterable[View]) -> None:
    rows = [
        [
            view["metadata"]["name"],
            listed([one["name"] for one in view["spec"]["devices"]], out.wide),
            listed([one["name"] for one in view["spec"]["prefixes"]], out.wide),
            generation_text(view),
            ready_cell(view),
            condition(view)["reason"],
        ]
        for view in views
    ]
    out.table(("GATEWAY", "DEVICES", "PREFIXES", "GENERATION", "READY", "REASON"), rows)
    if not rows:
        out.lines("no Gateway")


def show_dns64s(out: Output, views: Iterable[View]) -> None:
    rows = [
        [
            view["metadata"]["name"],
            listed(view["spec"]["listen"], out.wide),
            view["spec"].get("port", 53),
            listed([one["prefix"] for one in view["spec"]["prefixes"]], out.wide),
            generation_text(view),
            ready_cell(view),
            condition(view)["reason"],
        ]
        for view in views
    ]
    columns = ("DNS64", "LISTEN", "PORT", "PREFIXES", "GENERATION", "READY", "REASON")
    out.table(columns, rows)
    if not rows:
        out.lines("no Dns64")


def show_services(out: Output, views: Iterable[View]) -> None:
    rows = [
        [
            view["metadata"]["name"],
            view["spec"].get("mode", "dsr"),
            listed([frontend_label(one) for one in view["spec"]["frontends"]], out.wide),
            len(view["spec"].get("backends", ())),
            generation_text(view),
            ready_cell(view),
            condition(view)["reason"],
            *([view["spec"].get("announce", "none")] if out.wide else []),
        ]
        for view in views
    ]
    wide = ("ANNOUNCE",) if out.wide else ()
    columns = ("SERVICE", "MODE", "FRONTENDS", "BACKENDS", "GENERATION", "READY", "REASON", *wide)
    out.table(columns, rows)
    if not rows:
        out.lines("no Service")


def show_networks(out: Output, views: Iterable[View]) -> None:
    rows = [
        [
            view["metadata"]["name"],
            view["spec"].get("device", "auto"),
            listed([one["name"] for one in view["spec"].get("uplinks", ())], out.wide),
            listed([one["name"] for one in view["spec"]["pools"]], out.wide),
            generation_text(view),
            ready_cell(view),
            condition(view)["reason"],
        ]
        for view in views
    ]
    columns = ("NETWORK", "DEVICE", "UPLINKS", "POOLS", "GENERATION", "READY", "REASON")
    out.table(columns, rows)
    if not rows:
        out.lines("no Network")


def show_prefixes(out: Output, prefixes: Iterable[View]) -> None:
    rows = [
        (
            one["name"],
            one["prefix"],
            listed(one.get("ipv4", ()), out.wide),
            _sources(one.get("loadBalancerSourceRanges"), out.wide),
            len(one.get("eam", ())),
        )
        for one in prefixes
    ]
    out.table(("PREFIX", "POOL6", "IPV4", "SOURCE-RANGES", "EAM"), rows)
    if not rows:
        out.lines("no prefix")


def show_eams(out: Output, eams: Iterable[tuple[str, View]]) -> None:
    """Pairs of the name of the prefix and the mapping."""
    rows = [
        (prefix, one["ipv4"], one["ipv6"], "remote" if one.get("remote") else "local")
        for prefix, one in eams
    ]
    out.table(("PREFIX", "IPV4", "IPV6", "SIDE"), rows)
    if not rows:
        out.lines("no mapping")


def generation_text(view: View) -> str:
    """With the one in force, if that is another."""
    generation = view["metadata"]["generation"]
    observed = view.get("status", {}).get("observedGeneration")
    return str(generation) if observed == generation else f"{generation} ({observed} in force)"


def ready_cell(view: View) -> str:
    status = condition(view)["status"]
    return mark(status, status == "True")


def listed(items: Sequence[str], whole: bool) -> str:
    """The first few, and how many there are beside; `whole`: all."""
    shown = items if whole else items[:_LONGEST_LIST]
    more = f" and {len(items) - len(shown)} more" if len(shown) < len(items) else ""
    return (", ".join(shown) + more) or "-"


def _sources(ranges: Sequence[str] | None, whole: bool) -> str:
    if ranges is None:
        return "all"
    return listed(ranges, whole) if ranges else "none"
