# SPDX-License-Identifier: Apache-2.0
"""The lab without sixlane: what its hosts can do by themselves, and what they cannot."""

import pytest

from sixlane.lab import pages
from sixlane.lab.session import Session, StepFailedError
from sixlane.lab.steps import inside, sizes, web
from sixlane.lab.topology import (
    CLIENT4,
    LAB,
    POD_IPV4,
    SERVICE4,
    SERVICE6,
    SMALL_MTU,
    WEB4,
    WEB4_NAME,
    Family,
    embed,
)
from tests.netns.labs import needs_lab

pytestmark = needs_lab


def test_cluster_has_no_ipv4_address(hosts: Session) -> None:
    inside.no_ipv4_address(hosts)


@pytest.mark.parametrize("host", [host.name for host in LAB.hosts if host.family is Family.IPV4])
def test_internet_has_no_ipv6_address(hosts: Session, host: str) -> None:
    assert hosts.run_ok(host, ["ip", "-6", "-brief", "address", "show"]).out == ""


def test_ipv4_client_fetches_ipv4_page(hosts: Session) -> None:
    page = web.fetch(hosts, "client", f"http://{WEB4}/")
    web.check_page(hosts, page, pages.GREETING4, source=CLIENT4)


def test_pods_reach_each_other_without_the_gateway(hosts: Session) -> None:
    page = web.fetch(hosts, "pod2", f"http://[{SERVICE6}]/")
    web.check_page(hosts, page, pages.GREETING6, source=embed(POD_IPV4["pod2"]))
    hops = hosts.run_ok("pod2", ["traceroute", "-n", "-q", "1", SERVICE6]).out
    assert embed("192.31.196.1") not in hops
    assert "2001:db8:64::1 " not in hops


def test_pods_reach_each_other_on_one_node(hosts: Session) -> None:
    page = web.fetch(hosts, "pod3", "http://[2001:db8:64:1::2]/")
    web.check_page(hosts, page, pages.GREETING6, source="2001:db8:64:3::2")


def test_smaller_link_is_found_inside_the_cluster(hosts: Session) -> None:
    web.upload(hosts, "pod2", f"http://[{SERVICE6}]/", 500_000)
    assert sizes.learned_mtu(hosts, "pod2", SERVICE6) == SMALL_MTU


def test_smaller_link_is_found_in_the_internet(hosts: Session) -> None:
    web.upload(hosts, "client", f"http://{WEB4}/", 500_000)
    assert sizes.learned_mtu(hosts, "client", WEB4) == SMALL_MTU


def test_web4_name_has_an_ipv4_address_only(hosts: Session) -> None:
    ask = ["dig", "+short", "+time=2", f"@{WEB4}", WEB4_NAME]
    assert hosts.run_ok("client", [*ask, "A"]).out.split() == [WEB4]
    assert hosts.run_ok("client", [*ask, "AAAA"]).out == ""


def test_pod_asks_the_gateway_for_names(hosts: Session) -> None:
    assert hosts.run_ok("pod2", ["cat", "/etc/resolv.conf"]).out.startswith(
        "nameserver 2001:db8:64::1\n"
    )


def test_families_do_not_meet_without_sixlane(hosts: Session) -> None:
    with pytest.raises(StepFailedError):
        web.fetch(hosts, "client", f"http://{SERVICE4}/")
    with pytest.raises(StepFailedError):
        web.fetch(hosts, "pod2", f"http://[{embed(WEB4)}]/")
