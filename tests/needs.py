# SPDX-License-Identifier: Apache-2.0
"""What a test needs of its machine: each mark asks for the feature itself, never for a version.

pytestmark = needs.root

@needs.tcx
@needs.command("named")
def test_...
"""

import os
import shutil

import pytest

from sixlane.bpf import probe
from sixlane.errors import NotSupported
from sixlane.net import features


def _bpf() -> bool:
    try:
        return probe.has_bpf()
    except NotSupported:
        return False


def command(name: str) -> pytest.MarkDecorator:
    """The program `name`, on the path or where administration programs are."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return pytest.mark.skipif(shutil.which(name, path=path) is None, reason=f"no {name} here")


root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")
bpf = pytest.mark.skipif(not _bpf(), reason="no BPF here: libbpf or the privilege is missing")
xdp_link = pytest.mark.skipif(not (_bpf() and probe.has_xdp_link()), reason="no XDP links here")
tcx = pytest.mark.skipif(not (_bpf() and probe.has_tcx()), reason="no TCX here")
netkit = pytest.mark.skipif(
    os.geteuid() != 0 or not features.has_device_kind("netkit"), reason="no netkit here"
)
big_tcp = pytest.mark.skipif(
    os.geteuid() != 0 or not (features.has_big_tcp(4) and features.has_big_tcp(6)),
    reason="no BIG TCP for both families here",
)
