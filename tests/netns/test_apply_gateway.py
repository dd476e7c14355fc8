# SPDX-License-Identifier: Apache-2.0
"""A plan is put into force wholly or not at all, and a killed agent's half is no obstacle."""

from collections.abc import Iterator

import pytest

from sixlane.bpf import AttachType, Link, Program, ProgramType, XdpFlag
from sixlane.datapath import Datapath
from sixlane.errors import ConfigError, KernelError
from sixlane.nat64 import observe_gateway, slowpath
from sixlane.net import link, netns, sysctl
from tests import needs
from tests.netns.edge import SERVER, Edge, raise_edge

pytestmark = [pytest.mark.netns, needs.root]

PASS_ALL = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit


@pytest.fixture
def edge() -> Iterator[Edge]:
    with raise_edge("tc") as raised:
        yield raised


def state(edge: Edge) -> tuple[object, ...]:
    with netns.inside(edge.gateway):
        observed = observe_gateway(edge.datapath)
        forwarding = tuple(
            sysctl.get(("net", family, "conf", name, "forwarding"))
            for family in ("ipv4", "ipv6")
            for name in observed.devices
        )
    return observed, forwarding, edge.originals.items()


def ping(edge: Edge) -> None:
    netns.run(edge.client, ["ping", "-c1", "-W2", SERVER])


def test_a_refused_plan_changes_nothing(edge: Edge) -> None:
    with netns.inside(edge.gateway):
        third, _ = link.create_veth("dmz0", "dmz1", up=True)
        before = state(edge)
        with (
            Program.load(ProgramType.XDP, "other", PASS_ALL) as other,
            Link.create(other, third.ifindex, AttachType.XDP, XdpFlag.DRV_MODE),
            pytest.raises(ConfigError, match="dmz0 has an XDP program of somebody else"),
        ):
            devices = [{"name": "wan0"}, {"name": "lan0"}, {"name": "dmz0", "attach": "xdp"}]
            edge.apply("tc", devices=devices)
    assert state(edge) == before
    ping(edge)


def test_an_error_behind_a_swap_of_programs_detaches_nothing(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that has another program than before has one all the same."""
    monkeypatch.setattr("sixlane.datapath.loader.build_id", lambda *parts: "an0ther")
    with netns.inside(edge.gateway), Datapath.open(edge.datapath.root):
        before = edge.datapath.attachments()

        def swapped_and_failed(*_: object) -> None:
            assert edge.datapath._replace_programs()
            raise KernelError(5, "late")

        monkeypatch.setattr(edge.datapath, "commit", swapped_and_failed)
        with pytest.raises(KernelError, match="late"):
            edge.apply("tc", lowestIPv6MTU=1400)
        after = edge.datapath.attachments()
    assert [one.ifindex for one in after] == [one.ifindex for one in before]
    assert [one.program for one in after] != [one.program for one in before]
    ping(edge)


def test_another_entry_on_a_live_device(edge: Edge) -> None:
    for attach, mode in (("xdp-generic", "xdp-generic"), ("xdp", "xdp"), ("tc", "tcx")):
        edge.apply(attach)
        with netns.inside(edge.gateway):
            assert {one.mode for one in edge.datapath.attachments()} == {mode}


@pytest.mark.parametrize("step", ["set_alias", "set_fragment_size", "_settle_far_end"])
def test_a_slow_path_that_was_left_half_built(
    edge: Edge, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KernelError(5, "killed")

    owner = link if step == "set_alias" else slowpath
    with netns.inside(edge.gateway), monkeypatch.context() as patch:
        patch.setattr(owner, step, killed)
        with pytest.raises(KernelError, match="killed"):
            slowpath.raise_slow_path(edge.datapath)
        assert slowpath.observe_slow_path(edge.datapath) is None
    edge.apply("tc")
    with netns.inside(edge.gateway):
        assert slowpath.observe_slow_path(edge.datapath) is not None
    netns.run(edge.client, ["ping", "-c1", "-W2", SERVER])


def test_a_device_with_the_index_of_one_that_moved_away(edge: Edge) -> None:
    with netns.inside(edge.gateway):
        first, _ = link.create_veth("m0", "m1", up=True)
        edge.datapath.attach(first.ifindex, "tc")
        assert first.ifindex in {one.ifindex for one in edge.datapath.attachments() if one.device}
        link.move_to("m0", edge.server)
        netns.run(None, ["ip", "link", "add", "m2", "index", str(first.ifindex), "type", "bridge"])
        (dead,) = [one for one in edge.datapath.attachments() if one.ifindex == first.ifindex]
        assert dead.device == ""
        edge.datapath.detach(dead)
