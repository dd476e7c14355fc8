# SPDX-License-Identifier: Apache-2.0
"""`sixlane teardown`, with an agent or without."""

from pathlib import Path

from sixlane.cli.client import Client
from sixlane.cli.errors import Unreachable


def teardown(client: Client, bpffs: Path, state_dir: Path, run_dir: Path) -> list[str]:
    """Remove everything; what could not be restored, one line each."""
    try:
        lost: list[str] = client.post("/v1/teardown")["lost"]
        return lost
    except Unreachable as unreachable:
        if not unreachable.absent:
            raise
        return _by_ourselves(unreachable, bpffs, state_dir, run_dir)


def _by_ourselves(
    unreachable: Unreachable, bpffs: Path, state_dir: Path, run_dir: Path
) -> list[str]:
    from sixlane.agent.lock import Held
    from sixlane.agent.settings import Settings
    from sixlane.agent.teardown import teardown_without_agent

    try:
        return teardown_without_agent(Settings(bpffs, state_dir, run_dir))
    except Held as held:
        raise Unreachable(
            f"{held.message}, but {unreachable.message}", "name its socket with --socket"
        ) from None
