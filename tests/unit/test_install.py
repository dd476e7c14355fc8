# SPDX-License-Identifier: Apache-2.0
"""`make install` and `make uninstall`, into a directory of the test's own."""

import json
import os
import site
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import sixlane
from sixlane.cni import plugin as plugin_module
from sixlane.datapath import objects
from tests import needs

ROOT = Path(__file__).parents[2]
FILES = {
    "bin/sixlane",
    "bin/sixlaned",
    "bin/sixlane-health",
    "lib/cni/sixlane",
    "lib/cni/10-sixlane.conflist",
    "lib/systemd/system/sixlaned.service",
    "lib/systemd/system/sixlaned.socket",
    "lib/systemd/system/sixlane-health.service",
    "lib/systemd/system/sixlane-dns64@.service",
    "lib/sysusers.d/sixlane.conf",
    "lib/tmpfiles.d/sixlane.conf",
    "share/man/man1/sixlane.1",
    "share/man/man8/sixlaned.8",
    "share/bash-completion/completions/sixlane",
    "share/zsh/site-functions/_sixlane",
    "share/fish/vendor_completions.d/sixlane.fish",
}

pytestmark = needs.command("make")


def make(target: str, destination: Path) -> None:
    """Without a network: what sixlane depends on is taken from where the tests run."""
    done = subprocess.run(
        ["make", "-C", str(ROOT), target, f"DESTDIR={destination}", "PREFIX=/opt/sixlane"],
        env={
            **os.environ,
            "PIP_FLAGS": "--no-deps --no-build-isolation --no-index",
            "PYTHONPATH": site.getsitepackages()[0],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    destination = tmp_path_factory.mktemp("installed")
    make("install", destination)
    yield destination
    make("uninstall", destination)
    assert [path for path in destination.rglob("*") if not path.is_dir()] == []


def test_what_is_installed(installed: Path) -> None:
    root = installed / "opt/sixlane"
    found = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    assert {name for name in found if not name.startswith("lib/sixlane/")} == FILES
    assert sorted(path.name for path in installed.iterdir()) == ["opt"]


def test_nothing_knows_where_it_was_put_together(installed: Path) -> None:
    for name in FILES:
        assert str(installed) not in (installed / "opt/sixlane" / name).read_text(), name


def test_the_units_start_what_is_installed(installed: Path) -> None:
    unit = (installed / "opt/sixlane/lib/systemd/system/sixlaned.service").read_text()
    assert "\nExecStart=/opt/sixlane/bin/sixlaned " in unit
    command = (installed / "opt/sixlane/bin/sixlaned").read_text().splitlines()
    assert command[0] == "#!/opt/sixlane/lib/sixlane/bin/python -I"


def test_the_cni_plugin_runs_and_is_compiled(installed: Path, tmp_path: Path) -> None:
    """It knows the environment by its last place."""
    text = (installed / "opt/sixlane/lib/cni/sixlane").read_text()
    moved = tmp_path / "sixlane"
    moved.write_text(text.replace("/opt/sixlane", f"{installed}/opt/sixlane"))
    moved.chmod(0o755)
    done = subprocess.run(
        [moved], env={"CNI_COMMAND": "ADD"}, input=b"{}", capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert json.loads(done.stdout)["code"] == 1
    (plugin,) = installed.glob("opt/sixlane/lib/sixlane/lib/python3*/site-packages/sixlane/cni")
    assert list(plugin.glob("__pycache__/plugin.*.pyc"))
    assert text.startswith("#!/opt/sixlane/lib/sixlane/bin/python -IS\n")
    assert f'"/{plugin.relative_to(installed)}"' in text


def test_the_cni_configuration_names_the_plugin(installed: Path) -> None:
    of_network = json.loads((installed / "opt/sixlane/lib/cni/10-sixlane.conflist").read_text())
    assert [plugin["type"] for plugin in of_network["plugins"]] == ["sixlane"]
    assert of_network["cniVersion"] in of_network["cniVersions"]
    assert tuple(of_network["cniVersions"]) == plugin_module.VERSIONS


def test_it_runs_and_has_the_data_path(installed: Path) -> None:
    code = "import sixlane.cli.main, sixlane.datapath.objects as o; print(o.object_path(o.UPLINK))"
    done = subprocess.run(
        [installed / "opt/sixlane/lib/sixlane/bin/python", "-c", code],
        env={"PYTHONPATH": site.getsitepackages()[0]},
        capture_output=True,
        text=True,
        check=True,
    )
    found = Path(done.stdout.strip())
    assert found.is_relative_to(installed)
    assert found.read_bytes() == objects.object_path(objects.UPLINK).read_bytes()
    assert sixlane.__version__ in (installed / "opt/sixlane/share/man/man1/sixlane.1").read_text()
