# SPDX-License-Identifier: Apache-2.0
"""Services that a traced packet meets, in words."""

from collections.abc import Iterator

from sixlane.datapath import Datapath, layout
from sixlane.datapath.commit import services_in_force, slot_key
from sixlane.datapath.layout import Reason
from sixlane.datapath.simulate import Balanced, Simulated
from sixlane.model.packed import unpacked_address

_TUNNELS = {"protocol 4", "protocol 41"}  # IPv4 or IPv6 inside


def words(one: Balanced, datapath: Datapath) -> Iterator[str]:
    """Which service, and who of its backends."""
    names = {id: name for name, id in services_in_force(datapath.maps()).names.items()}
    yield f"is called at a frontend of service {names.get(one.service, one.service)}"
    if one.backend is None:
        yield "no backend was chosen"
        return
    how = "as its Maglev table has it" if one.is_new else "as its flow did before"
    yield f"goes to backend {_backend(one.backend, datapath)}, {how}"


def goes_in_tunnel(simulated: Simulated, after: dict[str, str]) -> bool:
    """Whether the packet leaves whole, behind another header. `after`: fields of what leaves."""
    return simulated.reasons[:1] == (Reason.FORWARD_SERVICE,) and after.get("protocol") in _TUNNELS


def _backend(id: int, datapath: Datapath) -> str:
    value = datapath.maps()["backends"].lookup(slot_key(id)) or b""
    record = layout.Backend.from_buffer_copy(value)
    address = unpacked_address(bytes(record.addr))
    if not record.port:
        return str(address)
    return f"[{address}]:{record.port}" if address.version == 6 else f"{address}:{record.port}"
