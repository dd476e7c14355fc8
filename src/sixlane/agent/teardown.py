# SPDX-License-Identifier: Apache-2.0
"""Remove everything without an agent, so that nobody is ever stuck."""

from sixlane.agent.gateway import GatewayPart
from sixlane.agent.home import inside_home
from sixlane.agent.lock import only_one, only_one_in
from sixlane.agent.originals import GatewaysOriginals, PodsOriginals
from sixlane.agent.part import Part
from sixlane.agent.pods import PodsPart
from sixlane.agent.resolvers import ResolversPart
from sixlane.agent.settings import Settings
from sixlane.agent.store import Store
from sixlane.dns64 import Place
from sixlane.errors import SixlaneError


def teardown_without_agent(settings: Settings) -> list[str]:
    """Take away all that an agent with these settings made; what could not be, one line each.

    Raises `Held` if such an agent runs, and `SixlaneError` if something could not be removed; all
    else has been, even then.
    """
    if not settings.run_dir.is_dir():
        settings.run_dir.mkdir(parents=True)
    with (
        only_one(settings.lock),
        only_one_in(settings.state_dir),
        inside_home(settings.run_dir),
    ):
        return _remove(settings)


def _remove(settings: Settings) -> list[str]:
    lost: list[str] = []
    failed: list[SixlaneError] = []
    store = _open_store(settings, lost)
    originals = store if store is not None else _Nothing()
    place = Place(settings.run_dir, settings.state_dir)
    parts: tuple[Part, ...] = (
        PodsPart(settings.pods_bpffs, settings.leases, PodsOriginals(originals)),
        GatewayPart(settings.bpffs, GatewaysOriginals(originals)),
        ResolversPart(place),
    )
    for part in parts:
        try:
            lost += part.remove()
        except SixlaneError as error:
            failed.append(error)
    if store is not None:
        try:
            with store:
                store.clear()
        except SixlaneError as error:
            failed.append(_still_stored(error))
    if failed:
        raise failed[0]
    return lost


def _open_store(settings: Settings, lost: list[str]) -> Store | None:
    if not settings.store.exists():
        return None
    try:
        return Store(settings.store)
    except SixlaneError as error:
        lost.append(f"what the machine was set to before is not known: {error}")
        return None


def _still_stored(error: SixlaneError) -> SixlaneError:
    return SixlaneError(
        f"nothing of sixlane is in force, but all is still stored: {error.message}",
        "the next sixlaned brings it back, unless this is repeated when the store can be written",
    )


class _Nothing:
    """Originals, where there are none to be had."""

    def remember(self, key: str, value: str) -> None:
        pass

    def items(self) -> list[tuple[str, str]]:
        return []

    def forget(self, key: str) -> None:
        pass
