# SPDX-License-Identifier: Apache-2.0
"""Kernel settings: read and written in the namespace of the calling thread."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sixlane.errors import ConfigError, KernelError, SixlaneError
from sixlane.net import link, sysctl
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]


@pytest.fixture
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        yield name


def test_a_setting_is_written_and_read(here: str) -> None:
    for value in (1, 0):
        sysctl.set("net.ipv4.conf.lo.forwarding", value)
        assert sysctl.get("net.ipv4.conf.lo.forwarding") == str(value)
        seen = spaces.command("sysctl", "-n", "net.ipv4.conf.lo.forwarding")
        assert seen.strip() == str(value)


def test_a_device_name_may_hold_a_dot(here: str) -> None:
    link.create_veth("wan.7", "right")
    sysctl.set(("net", "ipv6", "conf", "wan.7", "hop_limit"), 77)
    assert sysctl.get("net/ipv6/conf/wan.7/hop_limit") == "77"


def test_several_values_are_compared_whatever_the_space_between(here: str) -> None:
    sysctl.set("net.ipv4.ip_local_port_range", "2000 3000")
    assert sysctl.get("net.ipv4.ip_local_port_range").split() == ["2000", "3000"]


def test_what_can_only_be_written_is_written(here: str) -> None:
    sysctl.set("net.ipv4.route.flush", 1)


def test_each_thread_has_the_settings_of_its_namespace() -> None:
    name = "net.ipv4.conf.default.forwarding"
    asked: queue.Queue[bool] = queue.Queue()
    answered: queue.Queue[str] = queue.Queue()

    def other() -> None:
        while asked.get():
            answered.put(sysctl.get(name))

    before = sysctl.get(name)
    changed = "0" if before == "1" else "1"
    thread = threading.Thread(target=other)
    thread.start()
    try:
        with spaces.inside_new():
            sysctl.set(name, changed)
            asked.put(True)
            assert answered.get(timeout=5) == before
            assert sysctl.get(name) == changed
        assert sysctl.get(name) == before
    finally:
        asked.put(False)
        thread.join()


def test_a_setting_that_is_not_there_is_told_with_a_hint(here: str) -> None:
    assert sysctl.exists("net.ipv4.conf.lo.forwarding")
    assert not sysctl.exists("net.ipv4.conf.wan0.forwarding")
    for call in (sysctl.get, lambda name: sysctl.set(name, 1)):
        with pytest.raises(KernelError, match="net/ipv4/conf/wan0/forwarding") as caught:
            call("net.ipv4.conf.wan0.forwarding")
        assert "no such setting" in caught.value.hint


@pytest.mark.parametrize("name", ["", "net..ipv4", "../x", ("net", ".."), ("net/ipv4",), ()])
def test_names_that_lead_elsewhere_are_refused(name: sysctl.Name) -> None:
    with pytest.raises(ConfigError, match="is no name of a sysctl"):
        sysctl.get(name)


def test_what_the_kernel_does_not_take_is_an_error(here: str) -> None:
    with pytest.raises(KernelError, match="EINVAL"):
        sysctl.set("net.ipv4.conf.lo.forwarding", "x")


def test_a_value_that_did_not_hold_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysctl, "_ROOT", tmp_path)
    (tmp_path / "a").write_text("3 and more")  # a write of one byte leaves the rest in a file
    with pytest.raises(SixlaneError, match="set sysctl a to 2: the kernel shows 2 and more"):
        sysctl.set("a", 2)
