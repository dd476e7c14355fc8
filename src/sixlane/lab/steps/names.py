# SPDX-License-Identifier: Apache-2.0
"""IPv4-only servers by name: DNS64 makes up the AAAA that they lack (RFC 6147)."""

import ipaddress

from sixlane.lab import pages
from sixlane.lab.session import Seen, Session
from sixlane.lab.steps import web
from sixlane.lab.topology import POD_IPV4, WEB4, WEB4_NAME, embed


def pod_fetches_by_name(session: Session) -> Seen:
    address = resolve(session, "pod2", WEB4_NAME)
    page = web.fetch(session, "pod2", f"http://{WEB4_NAME}/")
    web.check_page(session, page, pages.GREETING4, source=POD_IPV4["pod2"])
    text = f"AAAA {address}; the IPv4-only page; it saw {web.source_of(page)}"
    return Seen(text, web.round_trip_ms(page))


def resolve(session: Session, host: str, name: str) -> str:
    """The AAAA of an IPv4-only name: the synthesized one, and no other."""
    ran = session.run_ok(host, ["dig", "+short", "+time=2", "+tries=2", "AAAA", name])
    answers = ran.out.split()
    session.need(len(answers) == 1, f"{len(answers)} answers, not one", ran)
    right = ipaddress.ip_address(answers[0]) == ipaddress.ip_address(embed(WEB4))
    session.need(right, f"{answers[0]} is not {embed(WEB4)}", ran)
    return answers[0]
