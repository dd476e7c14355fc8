# SPDX-License-Identifier: Apache-2.0
"""The cluster really has one address family."""

from sixlane.lab.session import Seen, Session
from sixlane.lab.topology import LAB, Family


def no_ipv4_address(session: Session) -> Seen:
    hosts = [host.name for host in LAB.hosts if host.family is Family.IPV6]
    for host in hosts:
        ran = session.run_ok(host, ["ip", "-4", "-brief", "address", "show"])
        session.need(not ran.out.strip(), f"{host} has an IPv4 address", ran)
    return Seen(f"none on {', '.join(hosts)}, not even 127.0.0.1")
