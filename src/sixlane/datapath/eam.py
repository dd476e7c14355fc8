# SPDX-License-Identifier: Apache-2.0
"""Explicit address mappings as rows of struct eam, with their keys (addr.h: eam4_map, eam6_map)."""

from typing import TYPE_CHECKING

import numpy as np

from sixlane.datapath import layout
from sixlane.datapath.layout import EamFlag
from sixlane.datapath.tables import EamRows
from sixlane.model.eam import ROW

if TYPE_CHECKING:
    from sixlane.datapath.tables import Rows

_GIVEN = np.dtype(
    {
        "names": ["hi", "lo", "addr4", "len4", "len6", "remote"],
        "formats": [">u8", ">u8", ">u4", "u1", "u1", "u1"],
        "offsets": [0, 8, 16, 20, 21, 22],
        "itemsize": ROW.size,
    }
)
"""sixlane.model.eam.ROW, with the IPv6 address as two halves."""


def build_eam(packed: bytes, only6: bytes = b"") -> EamRows:
    """From rows as `EamList.packed` has them. `only6`: more that are for packets of IPv6."""
    values = _values(packed)
    both = _values(packed + only6)
    keys4 = np.zeros(len(values), np.dtype(layout.Eam4Key))
    keys4["addr"], keys4["len"] = values["addr4"], values["len4"]
    keys6 = np.zeros(len(both), np.dtype(layout.Eam6Key))
    keys6["addr"], keys6["len"] = both["addr6"], both["len6"]
    return EamRows(keys4, values, keys6, both)


def _values(packed: bytes) -> "Rows":
    given = np.frombuffer(packed, _GIVEN)
    values = np.zeros(len(given), np.dtype(layout.Eam))
    values["addr6"]["hi"], values["addr6"]["lo"] = given["hi"], given["lo"]
    values["addr4"] = given["addr4"]
    values["len4"] = given["len4"]
    values["len6"] = given["len6"]
    values["flags"] = given["remote"] * EamFlag.EAM_REMOTE
    return values
