# SPDX-License-Identifier: Apache-2.0
"""What sixlane knows of a machine, for the doctor: read from the store and the pins."""

from dataclasses import replace

from sixlane.agent.conditions import rfc3339
from sixlane.agent.doctor.check import Subject
from sixlane.agent.originals import GatewaysOriginals
from sixlane.agent.settings import Settings
from sixlane.agent.store import Store
from sixlane.datapath.attach import attachments
from sixlane.model import Dns64, Gateway, Network, Service
from sixlane.nat64 import bindings
from sixlane.nat64.originals import void_keys


def without_store(settings: Settings) -> Subject:
    """In the network namespace of the devices."""
    links = settings.bpffs / "links"
    return Subject(settings, attachments=tuple(attachments(links)) if links.is_dir() else ())


def with_store(settings: Settings, store: Store) -> Subject:
    """The same with what is desired and was kept. SixlaneError if the store cannot be read."""
    resources = store.load().resources()
    return replace(
        without_store(settings),
        gateway=next((one for one in resources if isinstance(one, Gateway)), None),
        network=next((one for one in resources if isinstance(one, Network)), None),
        services=tuple(one for one in resources if isinstance(one, Service)),
        wants_dns64=any(isinstance(one, Dns64) for one in resources),
        store_refusal=str(store.refusal) if store.refusal else None,
        last_change=_last_change(store),
        bound=bindings(GatewaysOriginals(store)),
        originals=len(GatewaysOriginals(store).items()),
        void_originals=len(void_keys(GatewaysOriginals(store))),
    )


def _last_change(store: Store) -> str | None:
    for entry in store.history():
        what = ", ".join(entry.summary[:3]) or "nothing told"
        more = f" and {len(entry.summary) - 3} more" if len(entry.summary) > 3 else ""
        return f"revision {entry.revision}, {rfc3339(entry.time_s)}: {what}{more}"
    return None
