# SPDX-License-Identifier: Apache-2.0
"""named.conf from a `Dns64` resource, for BIND 9.18 and later. Pure."""

import hashlib
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

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
{own_zones}controls {{ }};
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

IPV4ONLY_ADDRESSES = (IPv4Address("192.0.0.170"), IPv4Address("192.0.0.171"))
"""The A records of ipv4only.arpa (RFC 7050): every prefix stands for them, 64:ff9b::/96 too."""

_SERVER_ID = re.compile(r'^    server-id "(.*)";$', re.MULTILINE)
_DIRECTORY = re.compile(r'^(    (?:managed-keys-)?directory )".*";$', re.MULTILINE)
_LISTEN = re.compile(r"^    listen-on(?:-v6)? port (\d+) \{ (.*) \};$", re.MULTILINE)


def named_conf(resource: Dns64, directory: str, log: str) -> str:
    """The text of named.conf.

    Its server id tells this text from any other: a named that answers with it has it in force.
    """
    spec = resource.spec
    forwarders = own_zones = ""
    if spec.forwarders:
        # "only" also keeps named's own empty zones (10.in-addr.arpa ...) out of the way. It would
        # keep ipv4only.arpa out too, were that name not excepted from forwarding.
        forwarders = f"    forwarders {{ {_acl(spec.forwarders)} }};\n    forward only;\n"
        own_zones = 'zone "ipv4only.arpa" { type forward; forwarders { }; };\n'
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
        own_zones=own_zones,
        prefixes="\n".join(_dns64(prefix, resource) for prefix in spec.prefixes),
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return text.replace("{server_id}", f"sixlane-{digest}")


def server_id(text: str) -> str:
    """The server id in a named.conf of ours; "" if there is none."""
    found = _SERVER_ID.search(text)
    return found.group(1) if found else ""


def checkable(text: str) -> str:
    """The same for named-checkconf, which goes to the directory; it is not made before a start."""
    return _DIRECTORY.sub(r'\g<1>"/";', text)


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
    # A prefix for some ranges only is not what clients should discover, if there is another.
    for_all = [one for one in resource.spec.prefixes if _is_for_all(one)]
    tells = prefix in for_all or not for_all
    return (
        f"    dns64 {prefix.prefix} {{\n"
        f"        clients {{ {_acl(clients) or 'none;'} }};\n"
        f"        mapped {{ {_mapped(prefix, tells)} }};\n"
        f"        exclude {{ {_acl(prefix.exclude) or 'none;'} }};\n"
        f"    }};"
    )


def _mapped(prefix: Dns64Prefix, tells: bool) -> str:
    """First match wins. `tells`: clients discover the prefix by asking for ipv4only.arpa."""
    rules = list(map(str, IPV4ONLY_ADDRESSES)) if tells else []
    if prefix.is_well_known:  # what it may not stand for (RFC 6052 3.1)
        for address in sorted(rfc6052.GLOBAL_EXCEPTIONS):
            if any(address in network for network in prefix.mapped):
                rules.append(str(address))
        rules += [f"!{block}" for block in rfc6052.NOT_GLOBAL]
    rules += ["any" if network.prefixlen == 0 else str(network) for network in prefix.mapped]
    return _acl(rules)


def _is_for_all(prefix: Dns64Prefix) -> bool:
    return any(network.prefixlen == 0 for network in prefix.mapped)


def _acl(items: Iterable[object]) -> str:
    return " ".join(f"{item};" for item in items)
