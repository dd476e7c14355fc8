# SPDX-License-Identifier: Apache-2.0
"""`sixlane service`: what is balanced; its backends have a word of their own."""

from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import applied, balanced, looks, options, views
from sixlane.cli.command import Group
from sixlane.cli.describe import show_conditions
from sixlane.cli.ends import BackendType, End, FrontendType, frontend_label
from sixlane.cli.fields import API_VERSION, given, or_default, ranges
from sixlane.cli.output import Output, mark
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client.types import ServiceCount

_KIND = "Service"
_AFFINITIES = {"none": "None", "client-ip": "ClientIP"}
_STATES = ("active", "terminating", "maintenance", "quarantined")


def _fields(*, adding: bool) -> options.Decorator[Any]:
    """The options for its own fields, for `add` and `set`."""
    replacing = "Repeatable." if adding else "Repeatable; these replace all."
    emptying = "Repeatable." if adding else "These replace all: none, or repeatable."
    return options.several(
        click.option(
            "--frontend",
            "frontends",
            type=FrontendType(),
            multiple=True,
            required=adding,
            metavar="ADDRESS:PORT[/udp]",
            help=f"Where clients call; IPv6 as [2001:db8::1]:80. {replacing}",
        ),
        click.option(
            "--mode",
            type=click.Choice(["dsr", "nat"]),
            help="By a tunnel, and answers straight to clients; or both ways through here.",
        ),
        click.option(
            "--source",
            metavar="pool|mapped|default",
            help="With nat: what backends see as source.",
        ),
        click.option(
            "--source-pool",
            "source_pool",
            multiple=True,
            metavar="RANGE",
            help=f"The addresses of it. {emptying}",
        ),
        click.option(
            "--source-range",
            "sources",
            multiple=True,
            metavar="RANGE",
            help="Clients that are let in; all (the default), none, or repeatable.",
        ),
        click.option(
            "--session-affinity",
            "affinity",
            type=click.Choice(list(_AFFINITIES)),
            help="Whether all flows of a client go to one backend.",
        ),
        click.option(
            "--affinity-timeout",
            metavar="SECONDS|default",
            help="How long after the client's last packet.",
        ),
        click.option(
            "--when-all-down",
            metavar="refuse|terminating|default",
            help="With no backend that takes new flows: who gets them.",
        ),
        click.option("--table-size", metavar="PRIME|default", help="Entries of the Maglev table."),
        click.option(
            "--announce",
            metavar="none|l2|route|default",
            help="How others find its addresses: ARP and neighbour discovery, or a route.",
        ),
        click.option(
            "--max-segment-size",
            metavar="BYTES|auto|default",
            help="With nat: the MSS that TCP SYNs may offer.",
        ),
    )


@click.group(cls=Group)
def service() -> None:
    """Show and change services: addresses and ports that backends answer on."""


@service.command("list")
@options.with_output
@pass_session
def list_(session: Session, out: Output) -> None:
    """Show all services, and how many of their backends get new flows.

    FLOWS go on now; of services that have each client on one backend by DSR they are clients. With
    -o wide also how others find its addresses, and packets that were sent on and dropped.
    """
    items = session.client.resources(_KIND)["items"]
    counts = {one["service"]: one for one in session.client.service_counts()}
    data = [{**view, "counters": counts.get(view["metadata"]["name"])} for view in items]
    if out.data({"items": data}, data):
        return
    wide = ("ANNOUNCE", "PACKETS", "DROPPED") if out.wide else ()
    columns = ("SERVICE", "MODE", "FRONTENDS", "UP", "FLOWS", "READY", "REASON", *wide)
    out.table(columns, [_row(one, out.wide) for one in data])
    if not data:
        out.lines("no Service")


def _row(view: Any, wide: bool) -> list[object]:
    count: ServiceCount | None = view["counters"]
    cells = [
        view["metadata"]["name"],
        view["spec"].get("mode", "dsr"),
        views.listed([frontend_label(one) for one in view["spec"]["frontends"]], wide),
        _up(count) if count else "-",
        count["activeFlows"] if count else "-",
        views.ready_cell(view),
        views.condition(view)["reason"],
    ]
    if wide:
        cells.append(view["spec"].get("announce", "none"))
        cells += [count["packets"], count["dropped"]["packets"]] if count else ["-", "-"]
    return cells


def _up(count: "ServiceCount") -> str:
    """Of all backends, those that get new flows."""
    states = count["states"]
    up, every = states["active"], sum(states.values())
    return mark(f"{up}/{every}", up == every)


@service.command(examples=[("sixlane service show web", "with its frontends and backends")])
@options.name(_KIND)
@options.with_output
@pass_session
def show(session: Session, name: str, out: Output) -> None:
    """Show one service: conditions, frontends, backends, and what was dropped, by reason."""
    view: Any = session.client.get(_KIND, name)
    backends = session.client.backends(name)["items"]
    counters = session.client.service_counters(name)
    if out.data({**view, "backends": backends, "counters": counters}):
        return
    views.show_services(out, [view])
    show_conditions(out, view)
    out.heading("Frontends")
    balanced.show_frontends(out, counters["frontends"])
    out.heading("Backends")
    balanced.show_backends(out, backends)
    if counters["drops"]:
        out.heading("Drops")
        balanced.show_drops(out, counters["drops"])


@service.command(
    examples=[
        ("sixlane service top", "until interrupted, once a second"),
        ("sixlane service top --count 1 --interval 10 -o json", "one look, for programs"),
    ]
)
@balanced.in_which_order
@looks.how_often
@looks.how_many
@options.with_output
@pass_session
def top(
    session: Session, sort: str, interval: float, count: int | None, lines: int, out: Output
) -> None:
    """Show what goes to each service now: packets, bits and new flows a second, and drops."""

    def look() -> dict[str, Any]:
        return {one["service"]: one for one in session.client.service_counts()}

    for last, now, seconds in looks.pairs(look, interval, count):
        rows = [
            {"service": name} | balanced.rates(last.get(name), one, seconds)
            for name, one in now.items()
        ]
        looks.clear_screen(out)
        _show_top(out, list(balanced.in_order(rows, sort))[:lines])


def _show_top(out: Output, rows: list[dict[str, Any]]) -> None:
    if out.data({"items": rows}, rows):
        return
    out.table(
        ("SERVICE", *balanced.RATE_COLUMNS, "DROP/S"),
        [(row["service"], *balanced.rate_cells(row), round(row["dropsPerSecond"])) for row in rows],
    )
    if not rows:
        out.lines("no services in force")


@service.command(
    examples=[
        (
            "sixlane service add web --frontend 192.175.48.200:80"
            " --frontend [2001:db8:64::200]:80 --backend 2001:db8:64:1::7",
            "two addresses, one backend",
        )
    ]
)
@click.argument("name")
@_fields(adding=True)
@click.option(
    "--backend",
    "backends",
    type=BackendType(),
    multiple=True,
    metavar="BACKEND",
    help="A node that answers; sixlane backend add knows more. Repeatable.",
)
@options.dry_run
@options.with_output
@pass_session
def add(
    session: Session,
    name: str,
    backends: tuple[End, ...],
    dry_run: bool,
    out: Output,
    **fields: Any,
) -> None:
    """Add a service. There must be none of that NAME yet."""
    spec = {key: value for key, value in _spec(fields).items() if value is not None}
    spec["backends"] = [one.as_data() for one in backends]
    resource = {
        "apiVersion": API_VERSION,
        "kind": _KIND,
        "metadata": {"name": name},
        "spec": spec,
    }
    applied.report(out, session.client.put(resource, if_match="", dry_run=dry_run))


@service.command(
    "set",
    examples=[
        ("sixlane service set web --when-all-down terminating", "rather those than none"),
        ("sixlane service set web --source-range 192.31.196.0/24", "let only some in"),
    ],
)
@options.name(_KIND)
@_fields(adding=False)
@options.dry_run
@options.with_output
@pass_session
def set_(session: Session, name: str, dry_run: bool, out: Output, **fields: Any) -> None:
    """Change what is given and leave the rest."""
    patch = {"spec": given(_spec(fields))}
    applied.report(out, session.client.patch(_KIND, name, patch, dry_run=dry_run))


def _spec(fields: dict[str, Any]) -> dict[str, Any]:
    """What the options say, as part of a spec."""
    spec: dict[str, Any] = {}
    if fields["frontends"]:
        spec["frontends"] = list(fields["frontends"])
    if fields["mode"] is not None:
        spec["mode"] = fields["mode"]
    if fields["source_pool"]:
        spec["sourcePool"] = ranges(fields["source_pool"], none=[])
    if fields["sources"]:
        spec["loadBalancerSourceRanges"] = ranges(fields["sources"], all=None, none=[])
    if fields["affinity"] is not None:
        spec["sessionAffinity"] = _AFFINITIES[fields["affinity"]]
    for option, key, read in (
        ("source", "source", str),
        ("affinity_timeout", "sessionAffinityTimeoutSeconds", int),
        ("when_all_down", "whenAllDown", str),
        ("table_size", "tableSize", int),
        ("announce", "announce", str),
        ("max_segment_size", "maxSegmentSize", int),
    ):
        if fields[option] is not None:
            spec[key] = or_default(fields[option], read)
    return spec
