# SPDX-License-Identifier: Apache-2.0
"""The resolvers as they are."""

from sixlane.dns64 import process
from sixlane.dns64.conf import listeners
from sixlane.dns64.place import Place
from sixlane.dns64.plan import Observed
from sixlane.dns64.query import answered_server_id


def observe_dns64(place: Place) -> dict[str, Observed]:
    """All resolvers of this agent and of those before it, by the name of their resource."""
    if not place.all_run.is_dir():
        return {}
    names = sorted(entry.name for entry in place.all_run.iterdir() if entry.is_dir())
    return {name: observe_one(place, name) for name in names}


def observe_one(place: Place, name: str) -> Observed:
    """One resolver, running or not."""
    configuration = place.configuration(name)
    try:
        text = configuration.read_text()
    except OSError:
        text = ""
    pid = process.find(configuration)
    here = pid is not None and process.is_here(pid)
    return Observed(text, pid, here, _in_force(text) if here else None)


def _in_force(text: str) -> str | None:
    for address, port in sorted(listeners(text)):
        found = answered_server_id(address, port)
        if found:
            return found
    return None
