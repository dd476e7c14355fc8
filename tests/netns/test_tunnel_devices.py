# SPDX-License-Identifier: Apache-2.0
"""A gateway's tunnels end at the kernel's own devices, as docs/howto/backend.md sets them up: what
we send is what IPIP (RFC 2003), SIT (RFC 4213) and IPv6 tunnels (RFC 2473) are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.net import netns
from tests import needs
from tests.netns import spaces
from tests.netns.balanced import (
    BACKENDS4,
    BACKENDS6,
    NAMES,
    VIP4,
    VIP6,
    Balanced,
    at,
    gateway,
    need_pages,
    need_upload,
    raise_balanced,
    service,
)

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("curl"), needs.command("ip")]

_PAGE = Path(__file__).parents[2] / "docs/howto/backend.md"
_SECTION = "\n## By the kernel's own devices\n"
_OWN = BACKENDS4["b1"]  # on the page
_UPLOAD_BYTES = 300_000


def _commands() -> list[list[str]]:
    section = _PAGE.read_text().partition(_SECTION)[2].partition("\n## ")[0]
    return [line.partition("#")[0].split() for line in re.findall("^ip .*$", section, re.M)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Balanced]:
    with spaces.new() as probe:
        told = netns.run(probe, _commands()[0], check=False).stderr
        if "Unknown device type" in told or "not supported" in told:
            pytest.skip("no tunnel devices here")
    with raise_balanced(tmp_path_factory.mktemp("tunnels"), "tc") as raised:
        for name in NAMES:
            with netns.inside(raised.hosts[name]):
                for command in _commands():
                    spaces.command(*(BACKENDS4[name] if word == _OWN else word for word in command))
        raised.agent.apply(gateway("tc"))
        yield raised


@pytest.mark.parametrize("vip", [VIP4, VIP6], ids=["4", "6"])
@pytest.mark.parametrize("backends", [BACKENDS4, BACKENDS6], ids=["to4", "to6"])
def test_requests(lab: Balanced, vip: str, backends: dict[str, str], tmp_path: Path) -> None:
    lab.agent.apply(service("web", at(backends), [{"address": vip, "port": 80}]))
    need_pages(lab, vip)
    need_upload(lab, vip, tmp_path, _UPLOAD_BYTES)
