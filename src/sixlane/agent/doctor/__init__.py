# SPDX-License-Identifier: Apache-2.0
"""The doctor: what this machine can do, what is in the way, what it costs and how to mend it.

It changes nothing. What it must try, it tries on maps and programs that it drops again, and in
network namespaces that end with the try.
"""

from typing import TypedDict

from sixlane.agent.doctor import devices, kernel, pods, services, system
from sixlane.agent.doctor.check import Check, Finding, Reported, Status, Subject, run

__all__ = ["CHECKS", "Check", "Finding", "Report", "Reported", "Status", "Subject", "diagnose"]

CHECKS: tuple[Check, ...] = (
    *kernel.CHECKS,
    *devices.CHECKS,
    *services.CHECKS,
    *pods.CHECKS,
    *system.CHECKS,
)


class Report(TypedDict):
    """All findings, in the order of `CHECKS`."""

    checks: list[Reported]


def diagnose(subject: Subject) -> Report:
    """In the calling thread's network namespace; takes about a second."""
    return {"checks": [finding for check in CHECKS for finding in run(check, subject)]}
