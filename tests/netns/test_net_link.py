# SPDX-License-Identifier: Apache-2.0
"""Devices: what we set is what `ip link` shows."""

from collections.abc import Iterator

import pytest

from sixlane.errors import ConfigError, KernelError
from sixlane.net import link, netns
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]

MAC_A = bytes.fromhex("02000000000a")
MAC_B = bytes.fromhex("02000000000b")


@pytest.fixture
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        yield name


def test_a_veth_pair_is_made_each_end_in_its_place(here: str) -> None:
    with spaces.new() as there:
        a, b = link.create_veth(
            "left", "right", netns_b=there, mac_a=MAC_A, mac_b=MAC_B, mtu=1400, alias="ours"
        )
        for end, name, mac, place in ((a, "left", MAC_A, here), (b, "right", MAC_B, there)):
            (shown,) = spaces.ip("-n", place, "link", "show", "dev", name)
            assert shown["address"] == mac.hex(":")
            assert (shown["mtu"], shown["ifalias"]) == (1400, "ours")
            assert shown["linkinfo"]["info_kind"] == "veth"
            assert "UP" not in shown["flags"]
            assert end == link.Link(
                ifindex=shown["ifindex"],
                name=name,
                kind="veth",
                type=link.ARPHRD_ETHER,
                mac=mac,
                mtu=1400,
                up=False,
                carrier=False,
                master=None,
                peer_ifindex=shown["link_index"],
                peer_netnsid=shown["link_netnsid"],
                alias="ours",
            )


def test_a_veth_pair_can_be_made_up_and_then_has_carrier(here: str) -> None:
    with spaces.new() as there:
        link.create_veth("left", "right", netns_b=there, up=True)
        assert (link.get("left").up, link.get("left").carrier) == (True, True)
        with netns.inside(there):
            assert (link.get("right").up, link.get("right").carrier) == (True, True)


def test_both_ends_may_be_in_one_namespace(here: str) -> None:
    a, b = link.create_veth("left", "right")
    assert (a.peer_ifindex, a.peer_netnsid) == (b.ifindex, None)
    assert [seen.name for seen in link.list_links()][-2:] == [b.name, a.name]


def test_each_setting_is_what_ip_shows(here: str) -> None:
    link.create_veth("left", "right")

    def shown() -> dict[str, object]:
        return spaces.ip("link", "show", "dev", "left")[0]

    link.set_up("left")
    assert "UP" in str(shown()["flags"])
    link.set_down("left")
    assert "UP" not in str(shown()["flags"])
    link.set_mtu("left", 1280)
    assert shown()["mtu"] == 1280
    link.set_mac("left", MAC_A)
    assert shown()["address"] == MAC_A.hex(":")
    link.set_alias("left", "sixlane: wan, ü")
    assert shown()["ifalias"] == link.get_alias("left") == "sixlane: wan, ü"
    link.set_alias("left", "")
    assert "ifalias" not in shown()
    link.rename("left", "left.1")
    assert link.get("left.1").mac == MAC_A


def test_a_bridge_takes_and_gives_back_its_ports(here: str) -> None:
    link.create_veth("left", "right", up=True)
    bridge = link.create_bridge("bridge", mac=MAC_B, mtu=1300, up=True, alias="ours")
    assert (bridge.kind, bridge.mac, bridge.mtu, bridge.up) == ("bridge", MAC_B, 1300, True)
    link.set_master("left", "bridge")
    assert spaces.ip("link", "show", "dev", "left")[0]["master"] == "bridge"
    assert link.get("left").master == bridge.ifindex
    link.set_master("left", None)
    assert "master" not in spaces.ip("link", "show", "dev", "left")[0]
    assert link.get("bridge").mtu == 1300  # its own, whatever its ports have


def test_a_device_moves(here: str) -> None:
    link.create_veth("left", "right")
    with spaces.new() as there:
        moved = link.move_to("left", there)
        assert link.find("left") is None
        assert spaces.ip("-n", there, "link", "show", "dev", "left")[0]["ifindex"] == moved.ifindex
        with pytest.raises(ConfigError, match="nowhere"):
            link.move_to("right", "nowhere")


def test_deleting_one_end_takes_the_other(here: str) -> None:
    link.create_veth("left", "right")
    link.delete("left")
    assert [seen.name for seen in link.list_links()] == ["lo"]


def test_a_device_is_found_by_name_and_by_index(here: str) -> None:
    a, _ = link.create_veth("left", "right")
    assert link.get("left") == link.get(a.ifindex) == link.get_by_index(a.ifindex) == a
    assert link.index("left") == link.index(a.ifindex) == a.ifindex
    assert [link.name_of("left"), link.name_of(a.ifindex)] == ["left", "left"]
    assert link.get("lo").type == link.ARPHRD_LOOPBACK
    assert link.get("lo").kind == ""


def test_a_device_that_is_not_there_is_named_with_those_that_are(here: str) -> None:
    assert link.find("wan0") is None
    assert link.find(77) is None
    for call in (link.get, link.index, link.set_up, link.delete):
        with pytest.raises(ConfigError, match="no device wan0") as caught:
            call("wan0")
        assert caught.value.hint == "there are: lo"
    with pytest.raises(ConfigError, match="no device with index 77"):
        link.get_by_index(77)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "sixteen-letters-"])
def test_names_that_the_kernel_does_not_take_are_refused(here: str, name: str) -> None:
    with pytest.raises(ConfigError, match="is no name for a device"):
        link.create_bridge(name)


def test_an_alias_that_is_too_long_is_refused(here: str) -> None:
    with pytest.raises(ConfigError, match="alias"):
        link.set_alias("lo", "x" * 256)


def test_the_kernels_own_words_are_in_the_error(here: str) -> None:
    link.create_veth("left", "right")
    with pytest.raises(KernelError, match=r"set mtu of device left: mtu less than .*EINVAL"):
        link.set_mtu("left", 10)
    with pytest.raises(KernelError, match="of device left: mtu less than"):
        link.set_mtu(link.index("left"), 10)
    with pytest.raises(KernelError, match="EEXIST"):
        link.create_veth("left", "other")
