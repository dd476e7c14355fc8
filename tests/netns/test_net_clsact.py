# SPDX-License-Identifier: Apache-2.0
"""BPF programs as tc filters: attached, swapped, listed, told apart from others', removed."""

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from sixlane.bpf.program import Program
from sixlane.bpf.uapi import ProgramType
from sixlane.errors import ConfigError, KernelError
from sixlane.net import clsact, link, netlink
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root, needs.bpf]

TC_ACT_OK, TC_ACT_SHOT = 0, 2


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        link.create_veth("left", "right", up=True)
        yield name


def _program(verdict: int) -> Program:
    move_to_r0, leave = 0xB7, 0x95
    code = struct.pack("=BBhi", move_to_r0, 0, 0, verdict) + struct.pack("=BBhi", leave, 0, 0, 0)
    return Program.load(ProgramType.SCHED_CLS, "verdict", code)


def _arrives(receiver: str, sender: str) -> bool:
    """Whether a frame passes from one end of the pair to the other's packet sockets."""
    kind = socket.ntohs(0x88B5)  # an EtherType for experiments
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as out,
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, kind) as into,
    ):
        into.bind((receiver, 0x88B5))
        into.settimeout(0.2)
        try:
            out.sendto(b"six lanes", (sender, 0x88B5, 0, 0, b"\xff" * 6))
            return into.recv(100) == b"six lanes"
        except OSError as error:  # ENOBUFS: dropped on egress; none: dropped in silence
            assert error.errno in (errno.ENOBUFS, None)
            return False


def _shown(side: str = "ingress") -> str:
    return spaces.command("tc", "filter", "show", "dev", "left", side)


def test_a_filter_is_attached_decides_and_is_detached() -> None:
    assert not clsact.has_qdisc("left")
    assert clsact.list_filters("left") == []
    with _program(TC_ACT_SHOT) as program:
        made = clsact.attach("left", program.fd, "ours")
        assert made == clsact.Filter(
            "ingress", clsact.PREFERENCE, clsact.HANDLE, "bpf", "ours", program.info.id, True
        )
    assert "bpf" in _shown()
    assert f"ours direct-action not_in_hw id {made.program_id}" in _shown()
    assert clsact.list_filters("left") == [made]
    assert clsact.list_filters("left", "egress") == []
    clsact.detach("left")
    assert clsact.list_filters("left") == []
    assert _shown() == ""


def test_a_filter_on_egress_drops_what_leaves() -> None:
    assert _arrives("right", "left")
    with _program(TC_ACT_SHOT) as program:
        clsact.attach("left", program.fd, "ours", direction="egress")
    assert not _arrives("right", "left")
    with _program(TC_ACT_OK) as program:
        clsact.attach("left", program.fd, "ours", direction="egress")
    assert _arrives("right", "left")
    clsact.detach("left", direction="egress")


def test_a_program_is_swapped_in_place() -> None:
    with _program(TC_ACT_OK) as first, _program(TC_ACT_SHOT) as second:
        clsact.attach("left", first.fd, "ours")
        clsact.attach("left", second.fd, "ours")
        assert [f.program_id for f in clsact.list_filters("left")] == [second.info.id]


def test_filters_of_others_are_listed_and_left_alone() -> None:
    with _program(TC_ACT_OK) as program:
        clsact.attach("left", program.fd, "theirs", preference=7, handle=3)
        clsact.attach("left", program.fd, "ours")
        assert [(f.preference, f.handle, f.name) for f in clsact.list_filters("left")] == [
            (7, 3, "theirs"),
            (clsact.PREFERENCE, clsact.HANDLE, "ours"),
        ]
        with pytest.raises(ConfigError, match="filter of others at ingress preference 64: ours"):
            clsact.attach("left", program.fd, "somebody")
    clsact.detach("left")
    assert [f.name for f in clsact.list_filters("left")] == ["theirs"]


def test_filters_of_other_kinds_are_listed_without_their_chains(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def message(handle: int) -> bytes:
        kind = struct.pack("=HH12s", 4 + len("matchall\0"), 1, b"matchall")
        body = struct.pack("=4xiIII", 2, handle, 0xFFFFFFF2, 99 << 16 | 0x0300) + kind
        return netlink.HEADER.pack(16 + len(body), 44, 2, 1, 0) + body

    # Made by hand: this kernel may have no kind but bpf.
    monkeypatch.setattr(clsact, "has_qdisc", lambda _: True)
    monkeypatch.setattr(netlink, "dump_raw", lambda *_, **__: [message(0), message(5)])
    assert clsact.list_filters("left") == [
        clsact.Filter("ingress", 99, 5, "matchall", "", None, False)
    ]


def test_the_qdisc_comes_and_goes() -> None:
    assert clsact.add_qdisc("left")
    assert not clsact.add_qdisc("left")
    assert "qdisc clsact ffff:" in spaces.command("tc", "qdisc", "show", "dev", "left")
    assert not clsact.has_qdisc("right")
    assert clsact.remove_qdisc("left")
    assert not clsact.has_qdisc("left")
    assert "clsact" not in spaces.command("tc", "qdisc", "show", "dev", "left")


def test_a_qdisc_with_filters_stays() -> None:
    sides: tuple[clsact.Direction, ...] = ("ingress", "egress")
    for side in sides:
        with _program(TC_ACT_OK) as program:
            clsact.attach("left", program.fd, "theirs", direction=side)
        assert not clsact.remove_qdisc("left")
        assert [f.name for f in clsact.list_filters("left", side)] == ["theirs"]
        clsact.detach("left", direction=side)
    assert clsact.remove_qdisc("left")


def test_an_ingress_qdisc_is_in_the_way() -> None:
    spaces.command("tc", "qdisc", "add", "dev", "left", "ingress")
    with pytest.raises(ConfigError, match="device left has a qdisc ingress") as caught:
        clsact.add_qdisc(link.index("left"))
    assert caught.value.hint.startswith("tc qdisc del dev left ingress")


def test_errors_name_the_device_and_the_filter() -> None:
    clsact.add_qdisc("left")
    with pytest.raises(KernelError, match="detach filter 64 from ingress of device left"):
        clsact.detach("left")
    with pytest.raises(KernelError, match="attach ours to ingress of device left"):
        clsact.attach("left", 987_654, "ours")
    with pytest.raises(ConfigError, match="no device wan0"):
        clsact.list_filters("wan0")
