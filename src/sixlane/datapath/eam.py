# SPDX-License-Identifier: Apache-2.0
"""Explicit address mappings as rows of struct eam, with their keys (addr.h: eam4_map, eam6_map)."""

import numpy as np

from sixlane.datapath import layout
from sixlane.datapath.layout import EamFlag
from sixlane.datapath.tables import EamRows
from sixlane.model.eam import ROW

_GIVEN = np.dtype(
    {
        "names": ["hi", "lo", "addr4", "len4", "len6", "remote"],
        "formats": [">u8", ">u8", ">u4", "u1", "u1", "u1"],
        "offsets": [0, 8, 16, 20, 21, 22],
        "itemsize": ROW.size,
    }
)
"""sixlane.model.eam.ROW, with the IPv6 address as two halves."""


def build_eam(packed: bytes) -> EamRows:
    """From rows as `EamList.packed` has them."""
    given = np.frombuffer(packed, _GIVEN)
    values = np.zeros(len(given), np.dtype(layout.Eam))
    keys4 = np.zeros(len(given), np.dtype(layout.Eam4Key))
    keys6 = np.zeros(len(given), np.dtype(layout.Eam6Key))
    for addr in (values["addr6"], keys6["addr"]):
        addr["hi"], addr["lo"] = given["hi"], given["lo"]
    values["addr4"] = keys4["addr"] = given["addr4"]
    values["len4"] = keys4["len"] = given["len4"]
    values["len6"] = keys6["len"] = given["len6"]
    values["flags"] = given["remote"] * EamFlag.EAM_REMOTE
    return EamRows(keys4, keys6, values)
