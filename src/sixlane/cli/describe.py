# SPDX-License-Identifier: Apache-2.0
"""`sixlane describe`: all there is to know of one resource."""

from typing import TYPE_CHECKING, Any

import click

from sixlane.cli import balanced, options, views
from sixlane.cli.command import Command
from sixlane.cli.counters import prefix_rows, show_prefix_rows
from sixlane.cli.output import Output, mark
from sixlane.cli.session import Session, pass_session

if TYPE_CHECKING:
    from sixlane.client import Client

_COMMON = ("observedGeneration", "conditions")


@click.command(cls=Command, examples=[("sixlane describe gateway edge", "the whole Gateway")])
@options.kind
@options.name()
@options.with_output
@pass_session
def describe(session: Session, kind: str, name: str, out: Output) -> None:
    """Show one resource: spec, conditions, status, and what its prefixes or backends count."""
    view: Any = session.client.get(kind, name)
    counters = _counters(session.client, view)
    if out.data({**view, "counters": counters}):
        return
    out.lines(f"{kind} {name}, generation {views.generation_text(view)}")
    out.heading("Spec")
    out.lines(*_yaml(view["spec"]))
    show_conditions(out, view)
    status = {key: value for key, value in view.get("status", {}).items() if key not in _COMMON}
    if status:
        out.heading("Status")
        out.lines(*_yaml(status))
    if kind == "Service":
        _show_service(out, session.client, name, counters)
    elif counters:
        out.heading("Counters")
        show_prefix_rows(out, prefix_rows(counters))


def _show_service(out: Output, client: "Client", name: str, counters: Any) -> None:
    out.heading("Counters")
    balanced.show_frontends(out, counters["frontends"])
    balanced.show_backends(out, client.backends(name)["items"])
    balanced.show_drops(out, counters["drops"])


def show_conditions(out: Output, view: Any) -> None:
    rows = [
        (
            one["type"],
            mark(one["status"], one["status"] == "True"),
            one["reason"],
            one["lastTransitionTime"],
            one["message"] or "-",
        )
        for one in view.get("status", {}).get("conditions", ())
    ]
    if rows:
        out.heading("Conditions")
        out.table(("TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"), rows)


def _counters(client: "Client", view: Any) -> dict[str, Any]:
    """Of its prefixes, or of a service; a Dns64 has none."""
    if view["kind"] == "Service":
        return dict(client.service_counters(view["metadata"]["name"]))
    if view["kind"] != "Gateway":
        return {}
    counted = client.counters()["prefixes"]
    names = [prefix["name"] for prefix in view["spec"]["prefixes"]]
    return {name: counted[name] for name in names if name in counted}


def _yaml(data: Any) -> list[str]:
    from sixlane.sources.dump import dump

    return [f"  {line}" for line in dump(data).splitlines()]
