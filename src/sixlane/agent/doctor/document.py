# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference/doctor.md from the table of checks.

python -m sixlane.agent.doctor.document [--check]
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from sixlane.agent.doctor import Check, devices, kernel, pods, services, system

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "doctor.md"

_HEAD = """# Doctor

`sixlane doctor` says what this machine can do for sixlane, what is in the way, what it costs and
how to mend it. The agent answers (`GET /v1/doctor`); if none runs, root's command looks for itself.
It changes nothing: features are tried, never guessed from a version, on maps and programs that are
dropped again and in network namespaces that end with the try. (Trying one may make the kernel load
its module.)

| status | meaning |
|---|---|
| `ok` | as it should be |
| `missing` | this machine does not have the feature |
| `warning` | it works, and costs something or may surprise |
| `problem` | something does not work |

Each check has one or more findings: `name`, `status`, `what` was found, what it `costs` if it is
not ok, and a `hint` how to mend it, which is empty if all is well. What cannot be found out is a
warning that says why.

This page is generated: `python -m sixlane.agent.doctor.document`.
"""


def render() -> str:
    """The page."""
    return "\n".join(
        [
            _HEAD,
            *_section("Kernel and libbpf", kernel.CHECKS),
            *_section(
                "Devices, those of the Gateway, or all Ethernet devices while there is none",
                devices.CHECKS,
            ),
            *_section("Services, where there are health checks", services.CHECKS),
            *_section("Pods, where there is a Network", pods.CHECKS),
            *_section("The machine, and sixlane on it", system.CHECKS),
        ]
    )


def _section(title: str, checks: Iterable[Check]) -> list[str]:
    rows = [
        f"| `{check.name}` | {check.about} | {check.costs} | {check.hint} |" for check in checks
    ]
    head = ["| check | asks whether | costs, if not | how to mend it |", "|---|---|---|---|"]
    return [f"## {title}", "", *head, *rows, ""]


def main() -> None:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(render())
    elif PAGE.read_text() != render():
        sys.exit(f"{PAGE.name} is not current: run python -m sixlane.agent.doctor.document")


if __name__ == "__main__":
    main()
