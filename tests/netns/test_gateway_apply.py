# SPDX-License-Identifier: Apache-2.0
"""Files applied to a gateway at work: right ones take effect between packets, wrong ones not."""

import subprocess
from pathlib import Path

import pytest

from sixlane.lab import gateway
from sixlane.lab.session import Session, StepFailedError
from sixlane.lab.steps import access, web
from sixlane.lab.topology import SERVICE4
from sixlane.net import netns
from tests.netns.labs import needs_lab, pinging

pytestmark = needs_lab

EDGE = gateway.EDGE.read_text()
_SECOND_GATEWAY = EDGE.split("\n---\n")[0].replace("name: edge", "name: other")

# What is wrong, and what the one line that tells it has to say.
WRONG = {
    "unknown key": ("ipv4: [192.175.48.0/25]", "ipv5: [192.175.48.0/25]", ("line 13", "ipv4")),
    "no such device": ("name: wan0", "name: wan7", ("spec.devices[0].name", "wan7", "wan0")),
    "not global": ("192.175.48.128/25", "198.51.100.0/24", ("line 17", "198.51.100.0/24")),
    "prefix length": ("64:ff9b::/96", "2001:db8::/97", ("line 12", "2001:db8::/97")),
    "second gateway": ("---\n", f"---\n{_SECOND_GATEWAY}\n---\n", ("edge", "other")),
    "not YAML": ("kind: Dns64", "kind: [Dns64", ("edge.yaml", "line")),
}


@pytest.mark.parametrize(("old", "new", "told"), WRONG.values(), ids=list(WRONG))
def test_wrong_file_changes_nothing(
    translating: Session, tmp_path: Path, old: str, new: str, told: tuple[str, ...]
) -> None:
    place = translating.place
    before = gateway.read_status(place)
    file = tmp_path / "edge.yaml"
    assert old in EDGE
    file.write_text(EDGE.replace(old, new))

    refused = gateway.run(place, "apply", "-f", str(file))

    assert refused.status not in (0, 3)
    assert refused.out == ""
    assert len(refused.err.splitlines()) == 1
    for word in told:
        assert word in refused.err
    after = gateway.read_status(place)
    assert {**after, "uptimeSeconds": 0} == {**before, "uptimeSeconds": 0}
    access.stranger_refused(translating)


def test_change_takes_effect_and_loses_no_packet(translating: Session, tmp_path: Path) -> None:
    place = translating.place
    url = f"http://{SERVICE4}/"
    applied = gateway.attached_file(place, gateway.EDGE)
    opened = tmp_path / "opened.yaml"
    opened.write_text(applied.read_text().replace("192.31.196.0/25", "192.31.196.0/24"))
    with pinging(place):
        for _ in range(5):
            assert gateway.run(place, "apply", "-f", str(opened)).status == 0
            web.fetch(translating, "stranger", url)
            assert gateway.run(place, "apply", "-f", str(applied)).status == 0
            with pytest.raises(StepFailedError):
                web.fetch(translating, "stranger", url)


def test_applying_again_changes_nothing(translating: Session) -> None:
    place = translating.place
    before = gateway.read_status(place)["gateway"]["generation"]
    again = gateway.run(place, "apply", "-f", str(gateway.attached_file(place, gateway.EDGE)))
    assert again.out.count("unchanged") == 2
    assert gateway.read_status(place)["gateway"]["generation"] == before


def test_pages_keep_coming_while_files_are_applied(translating: Session) -> None:
    """Many short connections, none of which may fail."""
    place = translating.place
    argv = ["ip", "netns", "exec", place.namespace("client"), "sh", "-c"]
    loop = f"for i in $(seq 100); do curl -sS -m 2 -o /dev/null http://{SERVICE4}/ || exit 1; done"
    with netns.popen(None, [*argv, loop], stderr=subprocess.PIPE, text=True) as pages:
        while pages.poll() is None:
            assert (
                gateway.run(
                    place, "apply", "-f", str(gateway.attached_file(place, gateway.EDGE))
                ).status
                == 0
            )
        _, errors = pages.communicate()
    assert (pages.returncode, errors) == (0, "")
