# SPDX-License-Identifier: Apache-2.0
"""Whether a next hop may be remembered by its destination."""

from collections.abc import Iterator

import pytest

from sixlane.net import policy
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new_with_link() as name:
        yield name


def _ip(text: str) -> None:
    spaces.command("ip", *text.split())


def test_a_new_namespace_has_the_default_rules_and_no_objection() -> None:
    rules = policy.policy_rules()
    assert [(rule.version, rule.priority, rule.table) for rule in rules] == [
        (4, 0, 255),
        (4, 32766, 254),
        (4, 32767, 253),
        (6, 0, 255),
        (6, 32766, 254),
    ]
    assert all(rule.is_default for rule in rules)
    assert policy.depends_on_more_than_destination() is None


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    "selector",
    ["from PREFIX", "iif left", "oif left", "fwmark 1", "ipproto tcp", "dport 53", "not to PREFIX"],
)
def test_a_rule_that_selects_by_something_else_is_told(version: int, selector: str) -> None:
    prefix = {4: "198.18.0.0/15", 6: "2001:db8:1::/48"}[version]
    _ip(f"-{version} rule add pref 100 {selector.replace('PREFIX', prefix)} table 100")
    (rule,) = [rule for rule in policy.policy_rules() if rule.priority == 100]
    assert (rule.version, rule.table, rule.action, rule.is_default) == (version, 100, 1, False)
    why = policy.depends_on_more_than_destination()
    assert why == f"policy rule 100 (IPv{version}) looks at more than the destination"


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("selector", ["to PREFIX", "from all", "suppress_prefixlength 0"])
def test_a_rule_that_asks_for_no_more_than_the_destination_is_fine(
    version: int, selector: str
) -> None:
    prefix = {4: "198.18.0.0/15", 6: "2001:db8:1::/48"}[version]
    _ip(f"-{version} rule add pref 100 {selector.replace('PREFIX', prefix)} table 100")
    assert not all(rule.is_default for rule in policy.policy_rules())
    assert policy.depends_on_more_than_destination() is None


@pytest.mark.parametrize(
    ("text", "dst"),
    [
        (
            "-4 route add 198.18.0.0/15 nexthop via 192.31.196.2 nexthop via 192.31.196.3",
            "198.18.0.0/15",
        ),
        (
            "-6 route add 2001:db8:1::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3",
            "2001:db8:1::/48",
        ),
        ("-4 route add default tos 0x10 via 192.31.196.2 table 100", "0.0.0.0/0"),
        ("-6 route add 2001:db8:1::/48 from 2001:db8:2::/48 via 2001:db8::2", "2001:db8:1::/48"),
    ],
)
def test_a_route_with_several_next_hops_or_by_more_is_told(text: str, dst: str) -> None:
    _ip(text)
    why = policy.depends_on_more_than_destination()
    assert why is not None
    assert why.startswith(f"the route to {dst} ")


def test_next_hop_groups_are_told_and_single_next_hops_are_not() -> None:
    _ip("nexthop add id 1 via 192.31.196.2 dev left")
    _ip("nexthop add id 2 via 192.31.196.3 dev left")
    assert policy.depends_on_more_than_destination() is None
    _ip("nexthop add id 3 group 1/2")
    assert policy.depends_on_more_than_destination() == "there are next-hop groups (ip nexthop)"


@pytest.mark.parametrize("version", [4, 6])
def test_a_rule_of_ours_is_for_a_mark_and_no_reason_to_tell(version: int) -> None:
    policy.add_rule(0x51500000, 64640, mask=0xFFF00000, version=version, protocol=policy.PROTOCOL)
    (rule,) = [rule for rule in policy.policy_rules() if rule.table == 64640]
    assert (rule.version, rule.mark, rule.mask) == (version, 0x51500000, 0xFFF00000)
    shown = spaces.command("ip", f"-{version}", "rule", "show", "table", "64640")
    assert "fwmark 0x51500000/0xfff00000 lookup 64640" in shown
    assert not rule.by_destination
    assert policy.depends_on_more_than_destination() is None
    policy.remove_rule(rule)
    assert [rule for rule in policy.policy_rules() if rule.table == 64640] == []
