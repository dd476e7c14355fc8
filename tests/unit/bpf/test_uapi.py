# SPDX-License-Identifier: Apache-2.0
"""Our numbers and structures against those of the running kernel, as its BTF tells them."""

import ctypes
from enum import IntEnum
from pathlib import Path

import pytest

from sixlane.bpf import AttachType, LinkType, MapFlag, MapType, ProgramType, SkBuff, Update, XdpMd
from sixlane.bpf.btf import Array, Btf, Enum, Struct, Type
from sixlane.bpf.lib import ffi

VMLINUX = Path("/sys/kernel/btf/vmlinux")

pytestmark = pytest.mark.skipif(not VMLINUX.exists(), reason="this kernel has no BTF")


@pytest.fixture(scope="module")
def kernel() -> Btf:
    return Btf.from_file(VMLINUX)


@pytest.mark.parametrize(
    ("ours", "theirs", "prefix"),
    [
        (MapType, "bpf_map_type", "BPF_MAP_TYPE_"),
        (ProgramType, "bpf_prog_type", "BPF_PROG_TYPE_"),
        (AttachType, "bpf_attach_type", "BPF_"),
        (LinkType, "bpf_link_type", "BPF_LINK_TYPE_"),
    ],
)
def test_enums(kernel: Btf, ours: type[IntEnum], theirs: str, prefix: str) -> None:
    values = {value.name: value.value for value in kernel.find(Enum, theirs).values}
    assert {prefix + member.name: member.value for member in ours}.items() <= values.items()


@pytest.mark.parametrize(("ours", "prefix"), [(MapFlag, "BPF_F_"), (Update, "BPF_")])
def test_flags_of_enums_without_a_name(kernel: Btf, ours: type[IntEnum], prefix: str) -> None:
    values = {
        value.name: value.value
        for type in kernel
        if isinstance(type, Enum) and not type.name
        for value in type.values
    }
    assert {prefix + member.name: member.value for member in ours}.items() <= values.items()


@pytest.mark.parametrize(("ours", "theirs"), [(XdpMd, "xdp_md"), (SkBuff, "__sk_buff")])
def test_contexts(kernel: Btf, ours: type[ctypes.Structure], theirs: str) -> None:
    there = kernel.find(Struct, theirs)
    fields = dict(_flat(kernel, there))
    here = {field[0]: getattr(ours, field[0]).offset for field in ours._fields_}
    assert {name: at for name, at in here.items() if name != "padding"} == fields
    assert ctypes.sizeof(ours) == there.size


@pytest.mark.parametrize("name", ["bpf_map_info", "bpf_prog_info"])
def test_what_the_kernel_tells(kernel: Btf, name: str) -> None:
    fields = dict(_flat(kernel, kernel.find(Struct, name)))
    for field, layout in ffi.typeof(f"struct {name}").fields:
        if field not in ("padding", "gpl_compatible"):
            assert layout.offset == fields[field]


def test_what_the_kernel_tells_of_links(kernel: Btf) -> None:
    ours = dict(ffi.typeof("struct bpf_link_info").fields)
    members = {m.name: m for m in kernel.find(Struct, "bpf_link_info").members}
    assert {name: ours[name].offset for name in ("type", "id", "prog_id")} == {
        name: members[name].offset_bits // 8 for name in ("type", "id", "prog_id")
    }
    union = members[""]
    kinds = kernel.strip(union.type)
    assert isinstance(kinds, Struct)
    tcx = next(kernel.strip(m.type) for m in kinds.members if m.name == "tcx")
    assert isinstance(tcx, Struct)
    for member in tcx.members:
        assert ours[member.name].offset == (union.offset_bits + member.offset_bits) // 8


def _flat(btf: Btf, outer: Struct) -> list[tuple[str, int]]:
    """Names and offsets in bytes of a struct's members, those of nameless unions included."""
    found = []
    for member in outer.members:
        inside: Type = btf.strip(member.type)
        if member.name:
            found.append((member.name, member.offset_bits // 8))
        elif isinstance(inside, Struct):
            found += [(m.name, (member.offset_bits + m.offset_bits) // 8) for m in inside.members]
        assert not isinstance(inside, Array) or inside.length
    return found
