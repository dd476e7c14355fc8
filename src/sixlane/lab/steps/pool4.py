# SPDX-License-Identifier: Apache-2.0
"""A pod under an ordinary address, which stands for no IPv4 address: it shares those of pool4."""

import contextlib
import ipaddress
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sixlane.lab import gateway, pages, programs
from sixlane.lab.pages import content
from sixlane.lab.session import Seen, Session, StepFailedError
from sixlane.lab.steps import reach, web
from sixlane.lab.topology import POOL4, WEB4, embed, own_address

POD = "pod3"
DOWNLOAD_BYTES = 30_000_000
_AGENT_UNREACHABLE = 3
_PATIENCE_S = 10.0


def ping(session: Session) -> Seen:
    return reach.ping(session, POD, embed(WEB4), "-I", own_address(POD))


def page(session: Session) -> Seen:
    ran = web.fetch(session, POD, f"http://[{embed(WEB4)}]/", "--interface", own_address(POD))
    source = web.source_of(ran)
    of_pool4 = ipaddress.ip_address(source) in ipaddress.ip_network(POOL4)
    session.need(of_pool4, f"the server saw {source}, which is not of {POOL4}", ran)
    web.check_page(session, ran, pages.GREETING4, source=source)
    return Seen(
        f"the IPv4-only page; it saw {source} for {own_address(POD)}", web.round_trip_ms(ran)
    )


def download_outlives_agent(session: Session) -> Seen:
    """The session lives in the kernel: it goes on without an agent, and the next one shows it."""
    place, narrator = session.place, session.narrator
    with _download(session) as download:
        before = gateway.read_counts(place)
        pid, killed = gateway.agent(place), time.monotonic()
        narrator.command(f"kill -9 {pid}")
        programs.kill(pid)
        gone = gateway.show(place, narrator, "status")
        session.need(gone.status == _AGENT_UNREACHABLE, "an agent answers still", gone)
        if download.poll() is not None:
            raise StepFailedError("the download ended with the agent")
        gateway.start(place, narrator)
        away = time.monotonic() - killed
        meanwhile = gateway.read_counts(place) - before
        listed = gateway.show(
            place, narrator, "session", "list", "--inside", own_address(POD), "--protocol", "tcp"
        )
    session.need(f"{WEB4}:80" in listed.out, "the session is not listed", listed)
    session.need(not meanwhile.drops, f"dropped meanwhile: {meanwhile.drops}", listed)
    megabytes = DOWNLOAD_BYTES / 1_000_000
    return Seen(
        f"{megabytes:g} MB whole; no agent for {away:.1f} s, in which "
        f"{meanwhile.forwarded_46 + meanwhile.forwarded_64:,} packets were translated"
    )


@contextlib.contextmanager
def _download(session: Session) -> Iterator[subprocess.Popen[str]]:
    """curl, over one connection and three seconds, from its first bytes on; all has to arrive."""
    with tempfile.NamedTemporaryFile(prefix="sixlane-lab-") as file:
        url = f"http://[{embed(WEB4)}]/slowly/{DOWNLOAD_BYTES}"
        options = ["--interface", own_address(POD), "-o", file.name]
        argv = programs.on_host(session.place, POD, [*web.curl(), *options, url])
        session.narrator.command(f"{shlex.join(argv)} &")
        with programs.running(argv) as download:
            _await_first_bytes(Path(file.name))
            yield download
            errors = download.communicate(timeout=_PATIENCE_S)[1]
        if download.returncode:
            raise StepFailedError(f"the download broke: {errors.strip()}")
        if Path(file.name).read_bytes() != content(DOWNLOAD_BYTES):
            raise StepFailedError("what arrived is not what the server sends")


def _await_first_bytes(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not path.stat().st_size:
        if time.monotonic() > deadline:
            raise StepFailedError("nothing of the download arrives")
        time.sleep(0.02)
