# SPDX-License-Identifier: Apache-2.0
"""The doctor where no agent runs."""

from contextlib import closing
from dataclasses import replace

from sixlane.agent.doctor import Report, diagnose
from sixlane.agent.doctor.known import with_store, without_store
from sixlane.agent.home import inside_home
from sixlane.agent.lock import only_one
from sixlane.agent.settings import Settings
from sixlane.agent.store import Store
from sixlane.errors import SixlaneError
from sixlane.pods.leases import Leases
from sixlane.pods.pod import Lease


def diagnose_without_agent(settings: Settings) -> Report:
    """In the network namespace of the last agent with these settings, as root.

    Raises `Held` if such an agent runs: then it is to be asked.
    """
    if not settings.run_dir.is_dir():
        return _diagnose(settings)
    with only_one(settings.lock), inside_home(settings.run_dir):
        return _diagnose(settings)


def _diagnose(settings: Settings) -> Report:
    if not settings.store.exists():
        return diagnose(without_store(settings))
    try:
        with Store(settings.store) as store:
            subject = replace(with_store(settings, store), leases=_leases(settings))
    except SixlaneError as error:
        subject = replace(without_store(settings), store_refusal=str(error))
    return diagnose(subject)


def _leases(settings: Settings) -> tuple[Lease, ...]:
    if not settings.leases.exists():
        return ()
    with closing(Leases(settings.leases)) as leases:
        return tuple(leases.all())
