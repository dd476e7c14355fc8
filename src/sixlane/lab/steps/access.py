# SPDX-License-Identifier: Apache-2.0
"""loadBalancerSourceRanges: who may come in from IPv4."""

from sixlane.lab import pages
from sixlane.lab.session import Seen, Session
from sixlane.lab.steps import web
from sixlane.lab.topology import CLIENT4, POD_IPV4, SERVICE4, STRANGER4, embed

_FAST_SECONDS = 2.0


def stranger_refused(session: Session) -> Seen:
    url = f"http://{SERVICE4}/"
    refused = session.run("stranger", [*web.curl(), url])
    session.need(refused.status != 0, "the stranger was served", refused)
    session.need(refused.seconds < _FAST_SECONDS, "refused, but only by waiting", refused)
    asked = session.run("stranger", ["ping", "-n", "-c", "1", "-W", "2", SERVICE4])
    session.need("Packet filtered" in asked.text, "no ICMP 3/13 (prohibited)", asked)

    elsewhere = web.fetch(session, "stranger", f"http://{POD_IPV4['pod1']}/")
    web.check_page(session, elsewhere, pages.GREETING6, source=embed(STRANGER4))
    served = web.fetch(session, "client", url)
    web.check_page(session, served, pages.GREETING6, source=embed(CLIENT4))
    text = f"refused by ICMP 3/13 after {refused.seconds * 1000:.0f} ms, the client served"
    return Seen(text, web.round_trip_ms(served))
