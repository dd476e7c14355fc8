# SPDX-License-Identifier: Apache-2.0
"""The units, as systemd judges them without running them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import needs

UNITS = Path(__file__).parents[2] / "packaging" / "systemd"
EXPOSURE = {
    "sixlaned.service": 4.6,
    "sixlane-dns64@test.service": 1.7,
    "sixlane-health.service": 1.7,
}
"""What `systemd-analyze security` gives at most; 10 is a service without any protection."""

FOR_A_MOUNT_NAMESPACE = {
    *("BindPaths", "BindReadOnlyPaths", "DynamicUser", "InaccessiblePaths", "MountFlags"),
    *("PrivateDevices", "PrivateMounts", "PrivateTmp", "ProcSubset", "ProtectControlGroups"),
    *("ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules"),
    *("ProtectKernelTunables", "ProtectProc", "ProtectSystem", "ReadOnlyPaths"),
    *("ReadWritePaths", "RootDirectory", "RootImage", "TemporaryFileSystem"),
}

pytestmark = needs.command("systemd-analyze")


@pytest.fixture(scope="module")
def units(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The units with programs and manuals that exist on every machine."""
    directory = tmp_path_factory.mktemp("units")
    for path in UNITS.glob("sixlane*"):
        text = path.read_text().replace("/usr/local/bin/sixlaned", "/bin/true")
        text = text.replace("/usr/local/bin/sixlane-health", "/bin/true")
        lines = [line for line in text.splitlines() if not line.startswith("Documentation=")]
        name = path.name.replace("@.", "@test.")
        (directory / name).write_text("\n".join(lines).replace("/usr/sbin/named", "/bin/true"))
    yield directory


def analyze(*argv: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def settings(name: str) -> dict[str, str]:
    lines = (UNITS / name).read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return dict(pairs)


def test_systemd_has_nothing_to_say(units: Path) -> None:
    done = analyze("verify", *(str(path) for path in sorted(units.iterdir())))
    ours = [line for line in done.stderr.splitlines() if "sixlane" in line]
    assert ours == []
    assert len(list(units.iterdir())) == 4


def test_a_mistake_is_found(units: Path, tmp_path: Path) -> None:
    text = (units / "sixlaned.service").read_text()
    wrong = tmp_path / "sixlaned.service"
    wrong.write_text(text.replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze("verify", str(wrong)).stderr


@pytest.mark.parametrize(("name", "most"), EXPOSURE.items())
def test_exposure(units: Path, name: str, most: float) -> None:
    threshold = f"--threshold={round(most * 10)}"
    done = analyze("security", "--offline=true", threshold, str(units / name))
    assert done.returncode == 0, done.stdout


def test_the_agent_keeps_the_mounts_of_the_machine() -> None:
    """Or the slow path's namespace would end with the service; see the unit."""
    assert settings("sixlaned.service").keys() & FOR_A_MOUNT_NAMESPACE == set()


def test_the_resolver_has_one_privilege() -> None:
    unit = settings("sixlane-dns64@.service")
    assert unit["User"] == "bind"
    assert unit["CapabilityBoundingSet"] == unit["AmbientCapabilities"] == "CAP_NET_BIND_SERVICE"


def test_the_socket_is_for_root_and_its_group() -> None:
    unit = settings("sixlaned.socket")
    assert (unit["SocketMode"], unit["SocketGroup"]) == ("0660", "sixlane")
    assert "g sixlane -" in (UNITS / "sysusers.conf").read_text().splitlines()
