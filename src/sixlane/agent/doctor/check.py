# SPDX-License-Identifier: Apache-2.0
"""What a check is: a question about the machine, and what its answer means."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict

from sixlane.agent.health import HealthMetrics
from sixlane.agent.settings import Settings
from sixlane.datapath import Attachment
from sixlane.errors import SixlaneError
from sixlane.model import Gateway, Network, Service
from sixlane.pods.pod import Lease

_log = logging.getLogger("sixlane.doctor")

Status = Literal["ok", "missing", "warning", "problem"]
"""missing: a feature that this machine does not have; warning: it works, and costs something or
may surprise; problem: something does not work."""


@dataclass(frozen=True)
class Subject:
    """What is examined: a machine, and what sixlane knows of it.

    `agent_pid`: of the agent that runs; None: none does. `last_change`: the last revision in one
    line. `store_refusal`: why the store takes no change. `attachments`: of our programs. `bound`:
    the indices of the Gateway's devices, by the names that it has for them. `originals`: how many
    there are, and how many of them are void. `leases`: of pods. `services`: as desired; `health`:
    what is known of their backends by checks, None: no agent runs. `root`: where the machine's
    files are.
    """

    settings: Settings
    gateway: Gateway | None = None
    wants_dns64: bool = False
    agent_pid: int | None = None
    last_change: str | None = None
    problems: tuple[str, ...] = ()
    store_refusal: str | None = None
    attachments: tuple[Attachment, ...] = ()
    bound: Mapping[str, int] = field(default_factory=dict)
    originals: int = 0
    void_originals: int = 0
    network: Network | None = None
    leases: tuple[Lease, ...] = ()
    services: tuple[Service, ...] = ()
    health: HealthMetrics | None = None
    root: Path = Path("/")


@dataclass(frozen=True)
class Finding:
    """One answer. `hint` is in place of the check's own, if there is one."""

    status: Status
    what: str
    hint: str = ""


Look = Callable[[Subject], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """A question. `about`: what is asked, for the docs; `costs`: what it is if the answer is not
    ok; `hint`: how to mend it."""

    name: str
    about: str
    costs: str
    hint: str
    look: Look = field(repr=False)


class Reported(TypedDict):
    """A finding as the API tells it. `hint` is empty where nothing is to be done."""

    name: str
    status: Status
    what: str
    costs: str
    hint: str


def run(check: Check, subject: Subject) -> list[Reported]:
    """All findings; what cannot be found out is one as well."""
    try:
        findings = list(check.look(subject))
    except SixlaneError as error:
        findings = [Finding("warning", f"cannot be known: {error.message}", error.hint)]
    except Exception as error:
        _log.exception("doctor, %s: a defect of sixlane", check.name)
        what = f"cannot be known: {type(error).__name__}: {error}"
        findings = [Finding("warning", what, "this is a defect of sixlane: please report it")]
    return [
        {
            "name": check.name,
            "status": finding.status,
            "what": finding.what,
            "costs": check.costs,
            "hint": "" if finding.status == "ok" else finding.hint or check.hint,
        }
        for finding in findings
    ]


def feature(
    name: str, about: str, costs: str, hint: str, has: Callable[[], bool], what: str
) -> Check:
    """A check for a feature, called `what`, that is there or not."""

    def look(subject: Subject) -> Iterable[Finding]:
        yield Finding("ok", what) if has() else Finding("missing", f"no {what}")

    return Check(name, about, costs, hint, look)
