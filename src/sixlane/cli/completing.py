# SPDX-License-Identifier: Apache-2.0
"""Completions that the agent knows: names of what is there. None, and no word, if it is away."""

from collections.abc import Callable, Iterable

import click

from sixlane.cli.ends import label
from sixlane.cli.session import Session, session_of
from sixlane.errors import SixlaneError

Completer = Callable[[click.Context, click.Parameter, str], list[str]]


def _completer(names: Callable[[click.Context, Session], Iterable[str]]) -> Completer:
    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
        try:
            found = sorted(set(names(context, session_of(context))))
        except SixlaneError:
            return []
        return [name for name in found if name.startswith(incomplete)]

    return complete


def names_of(kind: str | None = None) -> Completer:
    """Names of resources of that kind, or of the kind that the command line has named."""

    def names(context: click.Context, session: Session) -> list[str]:
        of = kind or context.params.get("kind")
        return [view["metadata"]["name"] for view in session.client.resources(of)["items"]]

    return _completer(names)


def _prefixes(context: click.Context, session: Session) -> list[str]:
    gateways = session.client.resources("Gateway")["items"]
    wanted = context.params.get("gateway")
    return [
        prefix["name"]
        for gateway in gateways
        if wanted in (None, gateway["metadata"]["name"])
        for prefix in gateway["spec"]["prefixes"]
    ]


def _mapped(context: click.Context, session: Session) -> list[str]:
    gateways = session.client.resources("Gateway")["items"]
    return [
        eam["ipv4"]
        for gateway in gateways
        for prefix in gateway["spec"]["prefixes"]
        for eam in prefix.get("eam", ())
    ]


def _revisions(_: click.Context, session: Session) -> list[str]:
    return [str(one["revision"]) for one in session.client.history()]


def _reasons(_: click.Context, session: Session) -> list[str]:
    return [one for one in session.client.counters()["reasons"] if one.startswith("drop_")]


def _devices(_: click.Context, session: Session) -> list[str]:
    gateway = session.client.status().get("gateway") or {}
    return [one["name"] for one in gateway.get("devices", ())]


def _backends(context: click.Context, session: Session) -> list[str]:
    service = str(context.params.get("service"))
    return [label(one) for one in session.client.get("Service", service)["spec"]["backends"]]


prefixes = _completer(_prefixes)
services = names_of("Service")
backends = _completer(_backends)
mapped = _completer(_mapped)
revisions = _completer(_revisions)
reasons = _completer(_reasons)
devices = _completer(_devices)
