# SPDX-License-Identifier: Apache-2.0
"""The plan of packet sizes: what a device gets, of what it has and can, and why."""

from dataclasses import replace
from typing import Any

import pytest

from sixlane.model.network import BigTcp
from sixlane.net.gso import LARGEST, ORDINARY, Limit, Sizes
from sixlane.pods import Attachment, Lease
from sixlane.pods.big_tcp import Bound, End, EndPlan, Family, SizesAsked, plan_big_tcp, plan_end

BIG = 196_608
PLAIN = Sizes(ORDINARY, ORDINARY, ORDINARY, ORDINARY, LARGEST)
OLD = replace(PLAIN, gso_ipv4=None, gro_ipv4=None)
LEASE = Lease(
    Attachment("one", "eth0"),
    "/run/netns/one",
    None,
    "default",
    (),
    None,
    "veth",
    "sl1",
    1500,
    True,
)
UPLINK = End("uplink", "eth0", 2, PLAIN)
POD = End("pod end", "eth0", 2, PLAIN, 1500, 1500, LEASE)


def planned(end: End, uplinks: Bound | None = None, **asked: int) -> EndPlan:
    return plan_end(SizesAsked(BigTcp(**asked)), end, uplinks)


def after(plan: EndPlan) -> tuple[int | None, ...]:
    """What the kernel makes of the changes, in order: those of IPv6 lower those of IPv4."""
    had: dict[Limit, int | None] = {
        "gso": plan.end.sizes.gso,
        "gro": plan.end.sizes.gro,
        "gso_ipv4": plan.end.sizes.gso_ipv4,
        "gro_ipv4": plan.end.sizes.gro_ipv4,
    }
    for limit in had:
        if limit in plan.changes:
            had[limit] = size = plan.changes[limit]
            follows: Limit = "gso_ipv4" if limit == "gso" else "gro_ipv4"
            if limit in ("gso", "gro") and size <= ORDINARY and had[follows] is not None:
                had[follows] = size
    return tuple(had.values())


def test_as_asked() -> None:
    plan = planned(UPLINK, ipv6=BIG, ipv4=131_072)
    assert after(plan) == (BIG, BIG, 131_072, 131_072)
    assert plan.why == {"ipv6": "as asked", "ipv4": "as asked"}
    assert not plan.limited
    assert not plan.lacks
    assert plan.summary() == (
        "device eth0: gso 65536 -> 196608, gro 65536 -> 196608, "
        "gso_ipv4 65536 -> 131072, gro_ipv4 65536 -> 131072"
    )
    done = replace(UPLINK, sizes=Sizes(BIG, BIG, 131_072, 131_072, LARGEST))
    assert planned(done, ipv6=BIG, ipv4=131_072).empty


def test_512_kib_is_as_much_as_linux_can_do() -> None:
    plan = planned(UPLINK, ipv6=524_288, ipv4=LARGEST)
    assert after(plan) == (LARGEST,) * 4
    assert plan.why["ipv6"] == "limited by the device's maximum of 524280"
    assert plan.why["ipv4"] == "as asked"
    assert plan.limited == {"ipv6"}


@pytest.mark.parametrize("asked", [{"ipv6": BIG}, {"ipv4": BIG}])
def test_what_is_not_asked_for_is_left_alone(asked: dict[str, Any]) -> None:
    end = replace(UPLINK, sizes=Sizes(90_000, 80_000, 100_000, 70_000, LARGEST))
    expected = (BIG, BIG, 100_000, 70_000) if "ipv6" in asked else (90_000, 80_000, BIG, BIG)
    plan = planned(end, **asked)
    assert after(plan) == expected
    other: Family = "ipv4" if "ipv6" in asked else "ipv6"
    assert plan.why[other] == "left alone: not asked for"


def test_ipv4_stays_where_ipv6_is_lowered() -> None:
    end = replace(UPLINK, sizes=Sizes(BIG, BIG, 100_000, 70_000, LARGEST))
    assert after(planned(end, ipv6=ORDINARY)) == (ORDINARY, ORDINARY, 100_000, 70_000)
    assert after(planned(end, ipv6=ORDINARY, ipv4=BIG)) == (ORDINARY, ORDINARY, BIG, BIG)
    back = replace(end, originals={"gso": ORDINARY, "gro": 60_000})
    assert after(planned(back)) == (ORDINARY, 60_000, 100_000, 70_000)
    put = "gso 196608 -> 65536, gro 196608 -> 60000"
    assert planned(back).summary() == f"device eth0: {put}", "and nothing of IPv4"


def test_what_a_gateway_makes_leaves_whole() -> None:
    """Of IPv4, what leads out takes what pods send, and receives as before."""
    asked = SizesAsked(BigTcp(ipv6=BIG), translates=True)
    plan = plan_end(asked, UPLINK, None)
    assert after(plan) == (BIG, BIG, BIG, ORDINARY)
    assert plan.why == {"ipv6": "as asked", "ipv4": "as asked, for what the Gateway translates"}
    assert plan.asked == {"ipv6"}
    assert after(plan_end(asked, POD, None)) == (BIG, BIG, ORDINARY, ORDINARY)
    both = SizesAsked(BigTcp(ipv6=BIG, ipv4=BIG), translates=True)
    raised = replace(
        UPLINK, sizes=Sizes(BIG, BIG, BIG, BIG, LARGEST), originals={"gro_ipv4": 70_000}
    )
    assert plan_end(both, raised, None).empty
    assert after(plan_end(asked, raised, None)) == (BIG, BIG, BIG, 70_000)


@pytest.mark.parametrize("said", [{"ipv6": BIG, "ipv4": 65_536}, {"ipv6": 65_536}])
def test_what_is_said_of_ipv4_counts(said: dict[str, int]) -> None:
    asked = SizesAsked(BigTcp(**said), translates=True)
    assert after(plan_end(asked, UPLINK, None))[2:] == (ORDINARY, ORDINARY)


def test_a_gateway_on_a_kernel_without_ipv4() -> None:
    asked = SizesAsked(BigTcp(ipv6=BIG), translates=True)
    assert plan_end(asked, replace(UPLINK, sizes=OLD), None).lacks == {"ipv4"}


def test_what_it_had_before_is_put_back() -> None:
    before: dict[Limit, int] = {"gso": ORDINARY, "gro": 90_000, "gso_ipv4": 80_000}
    end = replace(UPLINK, sizes=Sizes(BIG, BIG, BIG, BIG, LARGEST), originals=before)
    assert after(planned(end)) == (ORDINARY, 90_000, 80_000, BIG)
    assert after(planned(end, ipv6=100_000)) == (100_000, 100_000, 80_000, BIG)
    former = replace(end, role="former")
    assert after(planned(former, ipv6=BIG, ipv4=BIG)) == (ORDINARY, 90_000, 80_000, BIG)


def test_as_much_as_the_device_can_do() -> None:
    end = replace(UPLINK, sizes=replace(PLAIN, maximum=131_072))
    plan = planned(end, ipv6=BIG, ipv4=100_000)
    assert after(plan) == (131_072, 131_072, 100_000, 100_000)
    assert plan.why["ipv6"] == "limited by the device's maximum of 131072"
    assert plan.limited == {"ipv6"}
    below = replace(end, below=Bound(ORDINARY, "eth7"))
    assert planned(below, ipv6=BIG).why["ipv6"] == "limited by eth7's maximum of 65536"


def test_pods_have_no_more_than_any_uplink_can_do() -> None:
    small = replace(UPLINK, name="eth1", ifindex=3, sizes=replace(PLAIN, maximum=100_000))
    plans = plan_big_tcp(SizesAsked(BigTcp(ipv6=BIG)), [UPLINK, small, POD])
    assert [after(one)[0] for one in plans] == [BIG, 100_000, 100_000]
    assert plans[2].why["ipv6"] == "limited by eth1's maximum of 100000"
    alone = plan_big_tcp(SizesAsked(BigTcp(ipv6=BIG)), [POD])
    assert after(alone[0])[0] == BIG


def test_a_kernel_without_ipv4() -> None:
    plan = planned(replace(UPLINK, sizes=OLD), ipv6=BIG, ipv4=BIG)
    assert after(plan) == (BIG, BIG, None, None)
    assert plan.why["ipv4"] == "this kernel has no BIG TCP for IPv4"
    assert plan.lacks == {"ipv4"}
    assert not planned(replace(UPLINK, sizes=OLD), ipv4=ORDINARY).lacks, "it is ordinary"
    lowered = replace(UPLINK, sizes=replace(OLD, gso=BIG, gro=BIG))
    assert after(planned(lowered, ipv6=ORDINARY)) == (ORDINARY, ORDINARY, None, None)


@pytest.mark.parametrize(
    ("sizes", "mtu", "now", "asked", "expected"),
    [
        (PLAIN, 1500, 1500, {"ipv6": BIG}, 1492),
        (PLAIN, 1500, 1500, {"ipv4": BIG}, None),
        (PLAIN, 1500, 1492, {"ipv4": BIG}, None),
        (PLAIN, 1500, 1492, {"ipv6": ORDINARY}, 1500),
        (PLAIN, 1500, 1500, {"ipv6": ORDINARY}, None),
        (PLAIN, 1500, None, {"ipv6": BIG}, None),
        (PLAIN, 1284, 1284, {"ipv6": BIG}, 1280),
        (replace(PLAIN, maximum=ORDINARY), 1500, 1500, {"ipv6": BIG}, None),
    ],
)
def test_room_for_the_jumbo_header(
    sizes: Sizes, mtu: int, now: int | None, asked: dict[str, Any], expected: int | None
) -> None:
    end = replace(POD, sizes=sizes, mtu=mtu, ipv6_mtu=now)
    assert planned(end, **asked).ipv6_mtu == expected
    assert planned(replace(end, ipv6_mtu=expected or now), **asked).ipv6_mtu is None


def test_the_room_goes_with_its_reason() -> None:
    end = replace(POD, ipv6_mtu=1492, originals={"gso": ORDINARY, "gro": ORDINARY})
    plan = planned(end)
    assert plan.ipv6_mtu == 1500
    assert not plan.empty
    assert plan.summary() == "device eth0: MTU of IPv6 1492 -> 1500"
