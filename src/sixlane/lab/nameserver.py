# SPDX-License-Identifier: Apache-2.0
"""web4's name server: the files that make BIND's named the authority for `test.`."""

from pathlib import Path

from sixlane.lab.topology import WEB4, WEB4_NAME

READY = "all zones loaded"

_CONFIG = """\
options {{
    directory "{directory}";
    listen-on {{ {address}; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    pid-file none;
    session-keyfile none;
}};
controls {{ }};
zone "test" {{ type primary; file "test.zone"; }};
"""

# No AAAA anywhere: that is what DNS64 is for.
_ZONE = """\
$TTL 60
@        IN SOA ns hostmaster 1 3600 600 86400 60
@        IN NS  ns
ns       IN A   {address}
{name:8} IN A   {address}
"""


def write(directory: Path) -> list[str]:
    """Write named's files into `directory`, which is made; the command that serves them."""
    directory.mkdir(parents=True)
    config = directory / "named.conf"
    config.write_text(_CONFIG.format(directory=directory, address=WEB4))
    name = WEB4_NAME.removesuffix(".test")
    (directory / "test.zone").write_text(_ZONE.format(name=name, address=WEB4))
    return ["named", "-f", "-4", "-n", "1", "-L", str(log(directory)), "-c", str(config)]


def log(directory: Path) -> Path:
    """named opens it itself: under AppArmor it cannot write to a file that it was started with."""
    return directory / "named.log"
