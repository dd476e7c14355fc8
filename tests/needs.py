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

from sixlane.bpf import Program, ProgramType, XdpMd, probe
from sixlane.errors import KernelError, NotSupported
from sixlane.net import features


def _bpf() -> bool:
    try:
        return probe.has_bpf()
    except NotSupported:
        return False


NO_HEADROOM = 216
"""Bytes of metadata that leave nothing of the 256 in front of an XDP frame but struct xdp_frame."""

_PASS_ALL = bytes.fromhex("b7000000020000009500000000000000")  # r0 = 2 (XDP_PASS); exit


def _takes_metadata() -> bool:
    frame = bytes(NO_HEADROOM + 64)
    with Program.load(ProgramType.XDP, "probe", _PASS_ALL) as program:
        try:
            program.run(frame, bytes(XdpMd.of(frame, meta_bytes=NO_HEADROOM)))
        except KernelError:
            return False
    return True


def command(name: str) -> pytest.MarkDecorator:
    """The program `name`, on the path or where administration programs are."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return pytest.mark.skipif(shutil.which(name, path=path) is None, reason=f"no {name} here")


root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")
bpf = pytest.mark.skipif(not _bpf(), reason="no BPF here: libbpf or the privilege is missing")
xdp_link = pytest.mark.skipif(not (_bpf() and probe.has_xdp_link()), reason="no XDP links here")
xdp_metadata = pytest.mark.skipif(
    not (_bpf() and _takes_metadata()), reason="no XDP metadata above 32 bytes here"
)
tcx = pytest.mark.skipif(not (_bpf() and probe.has_tcx()), reason="no TCX here")
netkit = pytest.mark.skipif(
    os.geteuid() != 0 or not features.has_device_kind("netkit"), reason="no netkit here"
)
big_tcp = pytest.mark.skipif(
    os.geteuid() != 0 or not (features.has_big_tcp(4) and features.has_big_tcp(6)),
    reason="no BIG TCP for both families here",
)
