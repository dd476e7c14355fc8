# SPDX-License-Identifier: Apache-2.0
"""named.conf from a `Dns64` resource, for BIND 9.18 and later. Pure."""

import hashlib
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from sixlane.model import Dns64, Dns64Prefix
from sixlane.rfc import rfc6052

_TEMPLATE = """\
// Written by sixlane from Dns64 {name}: changes made here are lost.
options {{
    server-id "{server_id}";
    directory "{directory}";
    managed-keys-directory "{directory}";
    pid-file none;
    session-keyfile none;
    version none;
    hostname none;
    max-cache-size 10%;

    listen-on port {port} {{ {listen4} }};
    listen-on-v6 port {port} {{ {listen6} }};

    recursion yes;
    allow-query {{ {clients} }};
    allow-query-cache {{ {clients} }};
    allow-recursion {{ {clients} }};
    allow-transfer {{ none; }};
    notify no;
    dnssec-validation {validation};
{forwarders}
{prefixes}
}};
controls {{ }};
logging {{
    channel sixlane {{
        file "{log}" versions 1 size 1m;
        severity info;
        print-time iso8601;
        print-category yes;
        print-severity yes;
    }};
    category default {{ sixlane; }};
}};
"""

_SERVER_ID = re.compile(r'^    server-id "(.*)";$', re.MULTILINE)
_LISTEN = re.compile(r"^    listen-on(?:-v6)? port (\d+) \{ (.*) \};$", re.MULTILINE)


def named_conf(resource: Dns64, directory: str, log: str) -> str:
    """The text of named.conf.

    Its server id tells this text from any other: a named that answers with it has it in force.
    """
    spec = resource.spec
    forwarders = ""
    if spec.forwarders:
        # "only" also keeps named's own empty zones (10.in-addr.arpa ...) out of the way.
        forwarders = f"    forwarders {{ {_acl(spec.forwarders)} }};\n    forward only;\n"
    text = _TEMPLATE.format(
        name=resource.name,
        server_id="{server_id}",
        directory=directory,
        log=log,
        port=spec.port,
        listen4=_acl(a for a in spec.listen if isinstance(a, IPv4Address)) or "none;",
        listen6=_acl(a for a in spec.listen if isinstance(a, IPv6Address)) or "none;",
        clients=_acl(spec.clients),
        validation=spec.dnssec_validation,
        forwarders=forwarders,
        prefixes="\n".join(_dns64(prefix, resource) for prefix in spec.prefixes),
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return text.replace("{server_id}", f"sixlane-{digest}")


def server_id(text: str) -> str:
    """The server id in a named.conf of ours; "" if there is none."""
    found = _SERVER_ID.search(text)
    return found.group(1) if found else ""


def listeners(text: str) -> frozenset[tuple[str, int]]:
    """The addresses and ports in a named.conf of ours."""
    return frozenset(
        (address, int(port))
        for port, acl in _LISTEN.findall(text)
        for address in acl.replace(";", "").split()
        if address != "none"
    )


def _dns64(prefix: Dns64Prefix, resource: Dns64) -> str:
    clients = resource.spec.clients if prefix.clients is None else prefix.clients
    return (
        f"    dns64 {prefix.prefix} {{\n"
        f"        clients {{ {_acl(clients) or 'none;'} }};\n"
        f"        mapped {{ {_mapped(prefix)} }};\n"
        f"        exclude {{ {_acl(prefix.exclude) or 'none;'} }};\n"
        f"    }};"
    )


def _mapped(prefix: Dns64Prefix) -> str:
    """First match wins: what the well-known prefix may not stand for (RFC 6052 3.1) goes first."""
    refused = ""
    if prefix.is_well_known:
        exceptions = _acl(
            address
            for address in sorted(rfc6052.GLOBAL_EXCEPTIONS)
            if any(address in network for network in prefix.mapped)
        )
        refused = f"{exceptions} " + " ".join(f"!{block};" for block in rfc6052.NOT_GLOBAL) + " "
        refused = refused.lstrip()
    return refused + " ".join(_range(network) for network in prefix.mapped)


def _range(network: IPv4Network) -> str:
    return "any;" if network.prefixlen == 0 else f"{network};"


def _acl(items: Iterable[object]) -> str:
    return " ".join(f"{item};" for item in items)
