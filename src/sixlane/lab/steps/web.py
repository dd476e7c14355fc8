# SPDX-License-Identifier: Apache-2.0
"""Web pages, and files to and from web servers, by curl."""

import hashlib
import ipaddress
import tempfile
from pathlib import Path

from sixlane.lab.pages import GREETING6, content
from sixlane.lab.programs import Ran
from sixlane.lab.session import Seen, Session
from sixlane.lab.topology import CLIENT4, MAPPED_IPV4, SERVICE4, embed, own_address

_SECONDS_TO_CONNECT = "3"


def client_fetches_service(session: Session) -> Seen:
    ran = fetch(session, "client", f"http://{SERVICE4}/")
    check_page(session, ran, GREETING6, source=embed(CLIENT4))
    return Seen(f"the IPv6-only page; it saw {source_of(ran)}", round_trip_ms(ran))


def pod_fetches_by_mapped_address(session: Session) -> Seen:
    """Two pods that know each other by their IPv4 addresses: 46 after 64 in one pass."""
    url = f"http://[{embed(MAPPED_IPV4['pod1'])}]/"
    ran = fetch(session, "pod2", url, "--interface", own_address("pod2"))
    check_page(session, ran, GREETING6, source=embed(MAPPED_IPV4["pod2"]))
    return Seen(f"the page of the other pod; it saw {source_of(ran)}", round_trip_ms(ran))


def fetch(session: Session, host: str, url: str, *options: str) -> Ran:
    """Fetch a page; its text, then one line with the seconds that it took from connecting on."""
    return session.run_ok(host, [*curl(), *options, "-w", "took %{time_total} s\\n", url])


def curl() -> list[str]:
    """curl without a progress bar, bounded in time."""
    return ["curl", "-sS", "--connect-timeout", _SECONDS_TO_CONNECT, "--max-time", "15"]


def check_page(session: Session, ran: Ran, greeting: str, *, source: str) -> None:
    """The page has this greeting and names this source, in whichever textual form."""
    session.need(ran.out.startswith(greeting), f"the page does not say: {greeting}", ran)
    seen = source_of(ran)
    same = ipaddress.ip_address(seen) == ipaddress.ip_address(source)
    session.need(same, f"the server saw {seen}, not {source}", ran)


def source_of(ran: Ran) -> str:
    """The source address that the page names."""
    return _after(ran.out, "You come from ")


def round_trip_ms(ran: Ran) -> float:
    return float(_after(ran.out, "took ").removesuffix(" s")) * 1000


def upload(session: Session, host: str, url: str, size: int) -> Ran:
    """Send `size` bytes; the server's digest has to be that of what was sent."""
    data = content(size)
    with tempfile.NamedTemporaryFile(prefix="sixlane-lab-") as file:
        Path(file.name).write_bytes(data)
        ran = session.run_ok(host, [*curl(), "-T", file.name, url])
    right = ran.out.strip() == hashlib.sha256(data).hexdigest()
    session.need(right, "the server received something else than was sent", ran)
    return ran


def download(session: Session, host: str, base_url: str, size: int) -> Ran:
    """Fetch `size` bytes, which have to be the right ones."""
    with tempfile.NamedTemporaryFile(prefix="sixlane-lab-") as file:
        argv = [*curl(), "-o", file.name, f"{base_url}/bytes/{size}"]
        ran = session.run_ok(host, argv)
        right = Path(file.name).read_bytes() == content(size)
    session.need(right, "what arrived is not what the server sends", ran)
    return ran


def _after(text: str, start: str) -> str:
    """The rest of the line that begins with `start`; empty if there is none."""
    for line in text.splitlines():
        if line.startswith(start):
            return line.removeprefix(start)
    return ""
