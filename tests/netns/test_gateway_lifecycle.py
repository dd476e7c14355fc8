# SPDX-License-Identifier: Apache-2.0
"""The agent comes and goes; forwarding stays, until it is torn down, and then nothing is left."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sixlane.datapath.attach import Attachment, attachments
from sixlane.lab import gateway, pages, programs, raising, servers
from sixlane.lab.pages import content
from sixlane.lab.place import GATEWAY, Place
from sixlane.lab.session import Session, Silent
from sixlane.lab.steps import names, pool4, web
from sixlane.lab.topology import CLIENT4, SERVICE4, WEB4, WEB4_NAME, embed
from sixlane.net import ethtool, link, netns, route
from tests.netns.labs import ATTACHMENTS, needs_lab, pinging

pytestmark = [*needs_lab, pytest.mark.parametrize("attach", ATTACHMENTS)]

TRANSFER_BYTES = 3_000_000
DEVICES = ("wan0", "lan0")


def test_killed_agent_leaves_forwarding_and_names(
    place: Place, attach: str, tmp_path: Path
) -> None:
    session, agent = _raise(place, attach)
    with (
        _slow_download(place, "client", f"http://{SERVICE4}", tmp_path / "46") as to_client,
        _slow_download(place, "pod2", f"http://[{embed(WEB4)}]", tmp_path / "64") as to_pod,
    ):
        time.sleep(0.5)
        programs.kill(agent)
        time.sleep(1.2)  # longer than a next hop is remembered
        assert to_client.poll() is None and to_pod.poll() is None  # still under way
        assert gateway.run(place, "status").status == 3
        _both_ways(session)


def test_sessions_outlive_a_killed_agent(place: Place, attach: str) -> None:
    session, _ = _raise(place, attach)
    pool4.download_outlives_agent(session)


def test_new_agent_adopts_what_is_there(place: Place, attach: str) -> None:
    session, agent = _raise(place, attach)
    _both_ways(session)
    attached, counts = _attached(place), gateway.read_counts(place)
    status = gateway.read_status(place)

    programs.kill(agent)
    with pinging(place):
        gateway.start(place, Silent())
        assert _attached(place) == attached
        adopted = gateway.read_status(place)
    for key in ("revision", "resources", "gateway", "dns64", "problems"):
        assert adopted[key] == status[key]
    since = gateway.read_counts(place) - counts
    assert since.forwarded_46 > 0 and since.forwarded_64 > 0 and since.drops == {}


def test_stopped_agent_leaves_forwarding(place: Place, attach: str) -> None:
    session, agent = _raise(place, attach)
    attached = _attached(place)
    with pinging(place):
        programs.end_all([agent])
        assert _attached(place) == attached
    _both_ways(session)


@pytest.mark.parametrize("with_agent", [True, False], ids=["agent", "no_agent"])
def test_teardown_puts_back_what_was_there(place: Place, attach: str, with_agent: bool) -> None:
    raising.raise_hosts(place)
    servers.start_all(place)
    with netns.inside(place.namespace(GATEWAY)):
        # What a machine may have that sixlane has to change: it must come back.
        ethtool.set_feature("lan0", "rx-gro-list", True)
        before = _settings()
    agent = gateway.start(place, Silent())
    gateway.apply_edge(place, attach, Silent())
    session = Session(place, Silent())
    _both_ways(session)
    if not with_agent:
        programs.kill(agent)

    torn_down = gateway.tear_down(place)

    assert torn_down.status == 0, torn_down.text
    assert torn_down.err == ""
    with netns.inside(place.namespace(GATEWAY)):
        assert _settings() == before
    pids = netns.pids(place.namespace(GATEWAY))
    assert pids == ([agent] if with_agent else [])
    assert not place.bpffs.exists()
    assert [name for name in netns.names() if place.name in name] == []
    refused = session.run("client", [*web.curl(), f"http://{SERVICE4}/"])
    assert refused.status != 0


def _raise(place: Place, attach: str) -> tuple[Session, int]:
    raising.raise_hosts(place)
    servers.start_all(place)
    agent = gateway.start(place, Silent())
    gateway.apply_edge(place, attach, Silent())
    return Session(place, Silent()), agent


def _both_ways(session: Session) -> None:
    page = web.fetch(session, "client", f"http://{SERVICE4}/")
    web.check_page(session, page, pages.GREETING6, source=embed(CLIENT4))
    names.resolve(session, "pod2", WEB4_NAME)
    page = web.fetch(session, "pod2", f"http://{WEB4_NAME}/")
    assert page.out.startswith(pages.GREETING4)


@contextmanager
def _slow_download(
    place: Place, host: str, url: str, to: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A transfer over one connection that takes three seconds, and has to arrive whole."""
    argv = [*web.curl(), "-o", str(to), f"{url}/slowly/{TRANSFER_BYTES}"]
    with netns.popen(None, programs.on_host(place, host, argv)) as transfer:
        try:
            yield transfer
            assert transfer.wait(15) == 0
        finally:
            transfer.kill()
    assert to.read_bytes() == content(TRANSFER_BYTES)


def _attached(place: Place) -> list[Attachment]:
    with netns.inside(place.namespace(GATEWAY)):
        return list(attachments(place.bpffs / "links"))


def _settings() -> dict[str, object]:
    """Whatever sixlane might change in the calling thread's network namespace."""
    return {
        "sysctls": dict(_sysctls()),
        "features": {device: ethtool.features(device) for device in DEVICES},
        "links": link.list_links(),
        "routes": route.list_routes(table=None),
    }


def _sysctls() -> Iterator[tuple[str, str]]:
    for path in sorted(Path("/proc/sys/net").rglob("*")):
        if path.is_file():
            try:
                yield str(path), path.read_text()
            except OSError:  # write-only, or not for this namespace
                continue
