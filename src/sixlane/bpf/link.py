# SPDX-License-Identifier: Apache-2.0
"""Links: programs attached to devices, for as long as a descriptor or a pin holds the link."""

from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOENT
from typing import Self

from sixlane.bpf.handle import Handle
from sixlane.bpf.lib import check, ffi, get_info, libbpf, options
from sixlane.bpf.program import Program
from sixlane.bpf.uapi import AttachType, LinkType
from sixlane.errors import KernelError

_OF_DEVICES = (LinkType.XDP, LinkType.TCX, LinkType.NETKIT)


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """What the kernel tells of a link.

    `ifindex` counts in the device's own network namespace, and is 0 once the link is detached or
    the device is gone; it and `attach_type` are 0 for kinds other than XDP, TCX and netkit.
    """

    type: int
    id: int
    program_id: int
    ifindex: int
    attach_type: int


class Link(Handle):
    """A program's place on a device. Closing the last handle of an unpinned link detaches it."""

    _inode = "anon-inode:bpf-link"

    @classmethod
    def create(
        cls, program: Program, ifindex: int, attach_type: AttachType, flags: int = 0
    ) -> Self:
        """Attaches to device `ifindex` of the caller's network namespace; `flags`: XdpFlag for XDP,
        PlaceFlag for TCX and netkit, whose programs of both ends are attached to the primary one.

        KernelError: EBUSY if another program holds the place, ENODEV or EINVAL without such a
        device, EOPNOTSUPP if the driver has no XDP of that mode.
        """
        opts = options("bpf_link_create_opts", flags=flags)
        what = f"attach {program.name} to device {ifindex} at {attach_type.name}"
        return cls(check(libbpf().bpf_link_create(program.fd, ifindex, attach_type, opts), what))

    @classmethod
    def from_id(cls, id: int) -> Self:
        """The link that the kernel numbers `id`. KernelError(ENOENT) if there is none."""
        return cls(check(libbpf().bpf_link_get_fd_by_id(id), f"open the link with id {id}"))

    @property
    def info(self) -> LinkInfo:
        """The link's description as of now: its program and device may change."""
        info = get_info(self.fd, "bpf_link_info")
        return LinkInfo(
            type=info.type,
            id=info.id,
            program_id=info.prog_id,
            ifindex=info.ifindex if info.type in _OF_DEVICES else 0,
            attach_type=_attach_type(info.type, info.attach_type),
        )

    def update(self, program: Program) -> None:
        """Puts `program` in the place of the one attached, between two packets."""
        check(
            libbpf().bpf_link_update(self.fd, program.fd, ffi.NULL),
            f"replace the program of a link by {program.name}",
        )

    def detach(self) -> None:
        """Takes the program off its device at once, whoever else holds the link."""
        check(libbpf().bpf_link_detach(self.fd), "detach a link")


def links() -> Iterator[LinkInfo]:
    """All links of the machine, whatever their kind and network namespace."""
    following = ffi.new("__u32 *")
    while (result := libbpf().bpf_link_get_next_id(following[0], following)) != -ENOENT:
        check(result, "walk the links")
        try:
            link = Link.from_id(following[0])
        except KernelError as error:
            if error.errno == ENOENT:  # gone since
                continue
            raise
        with link:
            info = link.info
        yield info


def xdp_program(ifindex: int) -> int:
    """Id of the XDP program on a device of the caller's network namespace, 0: none."""
    id = ffi.new("__u32 *")
    result = libbpf().bpf_xdp_query_id(ifindex, 0, id)
    check(result, f"read the XDP program of device {ifindex}")
    return int(id[0])


def attached_programs(ifindex: int, attach_type: AttachType) -> list[int]:
    """Ids of the TCX or netkit programs on a device of the caller's network namespace, in the order
    in which they run."""
    room = 64  # the kernel lets no more on one device
    ids = ffi.new(f"__u32[{room}]")
    count = ffi.new("__u32 *", room)
    flags = ffi.new("__u32 *")
    result = libbpf().bpf_prog_query(ifindex, attach_type, 0, flags, ids, count)
    check(result, f"list the programs of device {ifindex} at {attach_type.name}")
    return [ids[index] for index in range(count[0])]


def _attach_type(link_type: int, of_tc: int) -> int:
    match link_type:
        case LinkType.XDP:
            return AttachType.XDP
        case LinkType.TCX | LinkType.NETKIT:
            return of_tc
        case _:
            return 0
