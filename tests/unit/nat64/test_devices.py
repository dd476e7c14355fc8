# SPDX-License-Identifier: Apache-2.0
"""Which device each entry of a Gateway means, and what becomes of those that mean none."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from sixlane.datapath import Attachment
from sixlane.model import ResourceError
from sixlane.nat64.devices import Chosen, choose_devices
from sixlane.nat64.observe import Device
from sixlane.nat64.plan import plan_gateway
from tests.unit.nat64.test_plan import device, gateway, observed

BOTH = gateway()
ATTACHED = (Attachment("wan0", 2, "tcx", 1), Attachment("lan0", 3, "tcx", 1))
BOUND = {"wan0": 2, "lan0": 3}


def chosen(
    *devices: Device,
    bound: Mapping[str, int] = BOUND,
    attached: Sequence[Attachment] = ATTACHED,
) -> Chosen:
    there = observed(*devices, attachments=tuple(attached))
    return choose_devices(BOTH, there, BOTH, bound)


def pairs(choice: Chosen) -> dict[str, int]:
    return {use.wanted.name: use.device.ifindex for use in choice.used}


def reasons(choice: Chosen) -> dict[str, str]:
    return {trouble.name: trouble.reason for trouble in choice.troubles}


def test_what_was_there_may_be_absent_and_what_is_new_may_not() -> None:
    here = device("wan0", 2)
    choice = chosen(here)
    assert pairs(choice) == {"wan0": 2}
    assert reasons(choice) == {"lan0": "DeviceAbsent"}
    assert choice.troubles[0].unused
    for before in (None, gateway(devices=[{"name": "wan0"}])):
        with pytest.raises(ResourceError, match="no device lan0") as caught:
            choose_devices(BOTH, observed(here), before, {})
        assert caught.value.path == ("spec", "devices", 1, "name")
        assert caught.value.where == "Gateway edge"


def test_only_what_is_new_or_changed_must_be_attached() -> None:
    wanted = gateway(devices=[{"name": "wan0"}, {"name": "lan0", "attach": "tc"}])
    choice = choose_devices(wanted, observed(), BOTH, {})
    assert {use.wanted.name: use.required for use in choice.used} == {"wan0": False, "lan0": True}
    first = choose_devices(wanted, observed(), None, {})
    assert [use.required for use in first.used] == [True, True]


def test_a_renamed_device_is_used_on_while_our_program_is_there() -> None:
    renamed = device("dmz0", 2), device("lan0", 3)
    choice = chosen(*renamed)
    assert pairs(choice) == {"wan0": 2, "lan0": 3}
    assert reasons(choice) == {"wan0": "DeviceRenamed"}
    assert "wan0 is called dmz0 now" in choice.troubles[0].message
    assert not choice.troubles[0].unused
    assert reasons(chosen(*renamed, attached=ATTACHED[1:])) == {"wan0": "DeviceAbsent"}
    assert reasons(chosen(*renamed, bound={})) == {"wan0": "DeviceAbsent"}


def test_until_another_device_takes_its_name() -> None:
    choice = chosen(device("dmz0", 2), device("lan0", 3), device("wan0", 4))
    assert pairs(choice) == {"wan0": 4, "lan0": 3}
    assert reasons(choice) == {}


def test_two_devices_that_change_their_names_change_their_places() -> None:
    choice = chosen(device("lan0", 2), device("wan0", 3))
    assert (pairs(choice), reasons(choice)) == ({"wan0": 3, "lan0": 2}, {})


def test_one_that_takes_the_name_of_another_is_not_used_twice() -> None:
    choice = chosen(device("lan0", 2))
    assert pairs(choice) == {"lan0": 2}
    assert reasons(choice) == {"wan0": "DeviceAbsent"}


def test_an_alternative_name_is_a_name() -> None:
    wan = replace(device("enp1s0", 2), other_names=("wan0",))
    choice = choose_devices(BOTH, observed(wan, device("lan0", 3)), None, {})
    assert (pairs(choice), reasons(choice)) == ({"wan0": 2, "lan0": 3}, {})


def test_two_names_of_one_device() -> None:
    both = replace(device("wan0", 2), other_names=("lan0",))
    with pytest.raises(ResourceError, match="lan0 and wan0 are names of one device") as caught:
        choose_devices(BOTH, observed(both), None, {})
    assert caught.value.path == ("spec", "devices", 1, "name")
    choice = chosen(both)
    assert (pairs(choice), reasons(choice)) == ({"wan0": 2}, {"lan0": "DeviceNamedTwice"})


def test_a_port_of_a_bridge_is_refused_and_one_that_became_it_is_told() -> None:
    bridge = device("br0", 9, kind="bridge")
    port = replace(device("wan0", 2), master=9)
    with pytest.raises(ResourceError, match="wan0 is a port of br0"):
        choose_devices(BOTH, observed(port, device("lan0", 3), bridge), None, {})
    choice = chosen(port, device("lan0", 3), bridge)
    assert pairs(choice) == {"wan0": 2, "lan0": 3}
    assert reasons(choice) == {"wan0": "DeviceIsPort"}


def test_a_device_of_a_vrf_is_like_any_other() -> None:
    member = replace(device("wan0", 2), master=9)
    there = observed(member, device("lan0", 3), device("red", 9, kind="vrf"))
    assert reasons(choose_devices(BOTH, there, None, {})) == {}


def test_our_own_veth_is_not_for_gateways() -> None:
    wanted = gateway(devices=[{"name": "sixlane0"}])
    with pytest.raises(ResourceError, match="sixlane0 is sixlane's own"):
        choose_devices(wanted, observed(device("sixlane0", 7, kind="veth")), None, {})


def test_all_devices_may_be_gone() -> None:
    lo = device("lo", 1)
    there = observed(lo, attachments=(Attachment("", 2, "tcx", 1),))
    plan = plan_gateway(BOTH, there, BOTH, BOUND)
    assert plan.tables is not None
    assert (plan.used, plan.attach, plan.absent) == ((), (), frozenset({2, 3}))
    assert [one.ifindex for one in plan.detach] == [2]
    assert {one.name for one in plan.troubles} == {"wan0", "lan0"}
