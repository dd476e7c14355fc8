# SPDX-License-Identifier: Apache-2.0
"""Generic netlink: families go by names, and the kernel numbers them."""

import errno
import functools

from pyroute2.netlink import ctrlmsg

from sixlane.errors import KernelError, NotSupported
from sixlane.net import netlink

VERSION = 1
_CONTROL = 16
_GET_FAMILY = 3


@functools.cache
def family(name: str) -> int:
    """The number of a family, the same until the machine restarts. NotSupported: there is none."""
    try:
        message = netlink.get(
            ctrlmsg,
            _CONTROL,
            {"cmd": _GET_FAMILY, "version": VERSION},
            [("CTRL_ATTR_FAMILY_NAME", name)],
            what=f"find {name} in generic netlink",
            protocol=netlink.GENERIC,
        )
    except KernelError as error:
        if error.errno == errno.ENOENT:
            raise NotSupported(f"{name} over netlink", "another kernel") from error
        raise
    return int(message.get_attr("CTRL_ATTR_FAMILY_ID"))
