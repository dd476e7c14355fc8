# SPDX-License-Identifier: Apache-2.0
"""Where clients reach a `Service`."""

from struct import Struct
from typing import Annotated, Any, Literal

from pydantic import Field

from sixlane.model.addresses import Routed
from sixlane.model.packed import packed_address, read_routed, unpacked_address
from sixlane.model.resource import Model
from sixlane.model.rowlist import RowList

MAX_FRONTENDS = 64
PROTOCOLS = {"TCP": 6, "UDP": 17}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOLS.items()}
_KEYS = {"address", "port", "protocol"}


class Frontend(Model):
    """An address, a port and a protocol that clients send to: one service has it."""

    address: Annotated[Routed, Field(description="Of either family.")]
    port: Annotated[int, Field(ge=1, le=65535)]
    protocol: Literal["TCP", "UDP"] = "TCP"


class FrontendList(RowList[Frontend]):
    """`ROW`: address (16 bytes), port, number of the protocol."""

    ITEM = Frontend
    ROW = Struct("!16sHB")
    NAMING = ROW.size
    LIMITS = (1, MAX_FRONTENDS)

    @classmethod
    def read(cls, item: Any) -> tuple[dict[str, Any], bytes]:
        if type(item) is not dict or not item.keys() <= _KEYS:
            raise ValueError(item)
        text, address = read_routed(item["address"])
        port, protocol = item["port"], item.get("protocol", "TCP")
        if type(port) is not int or not 0 < port <= 65535 or type(protocol) is not str:
            raise ValueError(item)
        return {**item, "address": text}, cls.ROW.pack(address, port, PROTOCOLS[protocol])

    @classmethod
    def row_of(cls, item: Frontend) -> bytes:
        return cls.ROW.pack(packed_address(item.address), item.port, PROTOCOLS[item.protocol])

    @classmethod
    def fields_of(cls, row: bytes) -> dict[str, Any]:
        address, port, protocol = cls.ROW.unpack(row)
        return {
            "address": unpacked_address(address),
            "port": port,
            "protocol": PROTOCOL_NAMES[protocol],
        }

    @classmethod
    def label(cls, row: bytes) -> str:
        fields = cls.fields_of(row)
        return f"{fields['protocol']} port {fields['port']} of {fields['address']}"
