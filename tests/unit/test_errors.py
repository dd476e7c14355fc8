# SPDX-License-Identifier: Apache-2.0
"""What a user reads when something fails."""

import errno
import pickle

import pytest

from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (SixlaneError("the gateway is gone"), "the gateway is gone"),
        (ConfigError("edge.yaml: no prefix", "add one"), "edge.yaml: no prefix (add one)"),
        (KernelError(errno.ENOENT, "open x"), "open x: ENOENT (No such file or directory)"),
        (KernelError(524, "batch"), "batch: ENOTSUPP (Unknown error 524)"),
        (KernelError(9999, "odd"), "odd: 9999 (Unknown error 9999)"),
        (NotSupported("tcx"), "this machine lacks tcx"),
    ],
)
def test_one_line_says_what_and_how_to_mend_it(error: SixlaneError, line: str) -> None:
    assert str(error) == line
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), line)


def test_a_kernel_error_keeps_its_number() -> None:
    error = KernelError(errno.EBUSY, "attach", "detach the other")
    assert (error.errno, error.what, error.hint) == (errno.EBUSY, "attach", "detach the other")
