# SPDX-License-Identifier: Apache-2.0
"""A containerd with all that it has in directories of its own, and an image that is made here."""

import contextlib
import hashlib
import io
import json
import platform
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sixlane.net import netns
from tests.netns.agents import eventually
from tests.netns.cri import Kubelet
from tests.unit.cni.calling import PLUGIN

IMAGE = "sixlane.test/busybox:1"
_BUSYBOX = Path("/bin/busybox")
_PATIENCE_S = 60.0
_LOOPBACKS = (Path("/usr/lib/cni/loopback"), Path("/opt/cni/bin/loopback"))
_CONFLIST = Path(__file__).parents[2] / "packaging/cni/10-sixlane.conflist"
_CONTROLLERS = Path("/sys/fs/cgroup")

# As Debian's /etc/containerd/config.toml, with other places. Snapshots by copying need no kernel's
# help; AppArmor is the machine's; to lower a process's oom_score_adj takes CAP_SYS_RESOURCE, which
# not every CI has.
_CONFIG = """
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
  address = "{0}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{1}"
  disable_apparmor = true
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{0}/bin"
    conf_dir = "{0}/net.d"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{0}/runc"
"""


class Containerd:
    """The daemon of a node. `api`: the socket of the node's agent."""

    def __init__(self, namespace: str, directory: Path, api: Path) -> None:
        self.namespace, self.directory = namespace, directory
        self.socket = directory / "containerd.sock"
        self.kubelet = Kubelet(self.socket)
        self.cgroup = f"/{namespace}"
        self.log = directory / "containerd.log"
        directory.mkdir()
        (directory / "config.toml").write_text(_CONFIG.format(directory, IMAGE))
        install_plugins(directory / "bin")
        (directory / "net.d").mkdir()
        conflist = json.dumps(configuration(api))
        (directory / "net.d" / _CONFLIST.name).write_text(conflist)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """With the image. Afterwards no pod is left."""
        argv = ["containerd", "--config", str(self.directory / "config.toml")]
        with self.log.open("wb") as log:
            daemon = netns.popen(
                self.namespace, argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        with daemon:
            try:
                assert eventually(self.socket.exists, _PATIENCE_S), self.log.read_text()
                self._import()
                assert eventually(self.kubelet.is_ready, _PATIENCE_S), self.log.read_text()
                yield
            finally:
                try:
                    self.remove_pods()
                finally:
                    daemon.send_signal(signal.SIGTERM)
                    daemon.wait(_PATIENCE_S)
                    self._remove_cgroups()

    def cgroups(self) -> list[Path]:
        """Those that pods have."""
        return [
            path for parent in _parents(self.cgroup) for path in parent.rglob("*") if path.is_dir()
        ]

    def remove_pods(self) -> None:
        for pod in self.kubelet.pods():
            self.kubelet.stop(pod)
            self.kubelet.remove(pod)

    def _import(self) -> None:
        archive = self.directory / "image.tar"
        archive.write_bytes(image())
        argv = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import"]
        options = ["--snapshotter", "native", str(archive)]
        netns.run(self.namespace, [*argv, *options], timeout=_PATIENCE_S)

    def _remove_cgroups(self) -> None:
        for parent in _parents(self.cgroup):
            parent.rmdir()


def loopback() -> Path | None:
    """The plugin that containerd has set up `lo` of each pod, if this machine has it."""
    return next((one for one in _LOOPBACKS if one.exists()), None)


def install_plugins(directory: Path) -> None:
    """The plugin of this tree, as `make install` has it, and that for the loopback device."""
    there = loopback()
    assert there is not None
    directory.mkdir()
    (directory / there.name).symlink_to(there)
    program = directory / "sixlane"
    program.write_text(
        f"#!{sys.executable} -IS\nimport sys\n\nsys.path.insert(0, {str(PLUGIN.parent)!r})\n"
        f"from {PLUGIN.stem} import main\n\nmain()\n"
    )
    program.chmod(0o755)


def configuration(api: Path) -> dict[str, Any]:
    """What packaging has, for an agent that listens at another place; pods may ask by annotations,
    and no call waits longer than a test."""
    shipped: dict[str, Any] = json.loads(_CONFLIST.read_text())
    (plugin,) = shipped["plugins"]
    capabilities = {"io.kubernetes.cri.pod-annotations": True}
    own = {"socket": str(api), "timeoutSeconds": 30, "capabilities": capabilities}
    return {**shipped, "plugins": [{**plugin, **own}]}


def image() -> bytes:
    """An OCI image of nothing but busybox, as a tar archive; it sleeps until it is killed."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _put(tar, "bin/busybox", _BUSYBOX.read_bytes(), 0o755)
    blobs = [layer.getvalue()]
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {"Cmd": ["/bin/busybox", "sleep", "infinity"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(blobs[0])]},
    }
    blobs.append(json.dumps(config).encode())
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": _descriptor(f"{kind}.config.v1+json", blobs[1]),
        "layers": [_descriptor(f"{kind}.layer.v1.tar", blobs[0])],
    }
    blobs.append(json.dumps(manifest).encode())
    named = {"annotations": {"io.containerd.image.name": IMAGE}}
    index = {
        "schemaVersion": 2,
        "manifests": [{**_descriptor(f"{kind}.manifest.v1+json", blobs[2]), **named}],
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        _put(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _put(tar, "index.json", json.dumps(index).encode())
        for blob in blobs:
            _put(tar, f"blobs/{_digest(blob).replace(':', '/')}", blob)
    return archive.getvalue()


def _put(
    tar: tarfile.TarFile,
    name: str,
    content: bytes,
    mode: int = 0o644,
    kind: bytes = tarfile.REGTYPE,
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size = kind, mode, len(content)
    tar.addfile(member, io.BytesIO(content))


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _architecture() -> str:
    """In Go's words."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _parents(cgroup: str) -> list[Path]:
    """A control group in each of the hierarchies that the machine has: one, or one a controller."""
    there = [_CONTROLLERS, *(one for one in _CONTROLLERS.iterdir() if one.is_mount())]
    return [one / cgroup[1:] for one in there if (one / cgroup[1:]).is_dir()]
