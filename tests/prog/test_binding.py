# SPDX-License-Identifier: Apache-2.0
"""The binding against the kernel: what it loads, stores, runs, attaches, pins, and its errors."""

import errno
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from sixlane.bpf import (
    AttachType,
    Link,
    LinkType,
    LoadError,
    LogLevel,
    Map,
    MapFlag,
    MapType,
    Object,
    Program,
    ProgramType,
    RingBuffer,
    SkBuff,
    Update,
    XdpFlag,
    XdpMd,
    links,
    possible_cpus,
    probe,
)
from sixlane.bpf.btf import Btf, Enum, Section, Struct, Variable
from sixlane.errors import KernelError
from sixlane.net import netns
from tests import needs

pytestmark = [pytest.mark.prog, needs.root, needs.bpf]

PACKET = bytes.fromhex("020000000001 020000000002 86dd") + bytes(range(46))
XDP_DROP, XDP_TX = 1, 3
TC_ACT_UNSPEC = 0xFFFFFFFF


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The object of binding.bpf.c."""
    compiled = tmp_path_factory.mktemp("binding") / "binding.bpf.o"
    source = Path(__file__).with_name("binding.bpf.c")
    headers = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    command = ["clang", "-g", "-O2", "-Wall", "-Werror", "--target=bpf", headers, "-c", "-o"]
    subprocess.run([*command, compiled, source], check=True)
    return compiled


@pytest.fixture
def opened(path: Path) -> Iterator[Object]:
    with Object.open(path) as obj:
        yield obj


@pytest.fixture
def loaded(opened: Object) -> Object:
    opened.load()
    return opened


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A bpffs of the test's own."""
    mounted = tmp_path / "bpffs"
    probe.mount_bpffs(mounted)
    yield mounted
    subprocess.run(["umount", mounted], check=True)


def u32(number: int) -> bytes:
    return struct.pack("=I", number)


def hash_map(max_entries: int = 8) -> Map:
    return Map.create(MapType.HASH, "numbers", key_size=4, value_size=4, max_entries=max_entries)


def refused(number: int) -> AbstractContextManager[object]:
    """The block must raise KernelError(number)."""
    return pytest.raises(KernelError, check=lambda error: error.errno == number)


class TestObject:
    def test_names_its_maps_programs_and_sections(self, opened: Object) -> None:
        assert {"pairs", "counters", "generations", "shared", ".rodata", ".bss"} == set(opened.maps)
        assert {"answer", "shrink", "mark", "add", "reckless"} == set(opened.programs)
        assert opened.programs["mark"].section == "tc"
        assert not opened.programs["reckless"].autoload

    def test_a_constant_set_before_the_load_is_what_the_program_sees(self, opened: Object) -> None:
        place = variable(opened.btf, ".rodata", "verdict")
        opened.maps[".rodata"].initial_value[place] = u32(XDP_DROP)
        opened.load()
        assert opened.programs["answer"].run(PACKET).retval == XDP_DROP
        assert opened.maps[".rodata"].lookup(u32(0))[place] == u32(XDP_DROP)  # type: ignore[index]

    def test_code_that_a_constant_switches_off_is_removed(self, path: Path) -> None:
        sizes = []
        for colour in 7, 1:
            with Object.open(path) as obj:
                place = variable(obj.btf, ".rodata", "colour")
                obj.maps[".rodata"].initial_value[place] = u32(colour)
                obj.load()
                sizes.append(obj.programs["answer"].info.instructions)
        assert sizes[1] < sizes[0]

    def test_a_map_is_resized(self, opened: Object) -> None:
        opened.maps["pairs"].resize(5)
        opened.load()
        assert opened.maps["pairs"].info.max_entries == 5

    def test_a_program_left_out_is_not_loaded(self, opened: Object) -> None:
        opened.programs["shrink"].set_autoload(False)
        opened.load()
        with pytest.raises(ValueError, match="not open"):
            opened.programs["shrink"].run(PACKET)

    def test_an_attach_type_is_set(self, opened: Object) -> None:
        opened.programs["mark"].set_expected_attach_type(AttachType.TCX_INGRESS)
        opened.load()

    def test_another_map_takes_the_place_of_its_own(self, opened: Object, path: Path) -> None:
        with Object.open(path) as first:
            first.load()
            opened.maps["counters"].reuse(first.maps["counters"])
            opened.load()
            opened.programs["answer"].run(PACKET)
            assert opened.maps["counters"].info.id == first.maps["counters"].info.id
            assert sum_per_cpu(first.maps["counters"], 1) == 1

    def test_a_pinned_map_is_adopted(self, path: Path, bpffs: Path) -> None:
        ids = []
        for value in 5, 6:
            with Object.open(path) as obj:
                obj.maps["pairs"].set_pin_path(bpffs / "pairs")
                obj.load()
                obj.maps["pairs"].update(struct.pack("=Q", value), struct.pack("=Q", value))
                ids.append(obj.maps["pairs"].info.id)
        with Map.from_pin(bpffs / "pairs") as pairs:
            assert {pairs.info.id} == set(ids)
            assert len(list(pairs.keys())) == 2

    def test_a_pinned_map_of_another_shape_is_refused(self, opened: Object, bpffs: Path) -> None:
        with hash_map() as other:
            other.pin(bpffs / "pairs")
        opened.maps["pairs"].set_pin_path(bpffs / "pairs")
        with refused(errno.EINVAL):
            opened.load()

    def test_the_verifiers_words_are_in_the_error(self, opened: Object) -> None:
        opened.programs["reckless"].set_autoload(True)
        with pytest.raises(LoadError) as caught:
            opened.load()
        assert caught.value.errno == errno.EACCES
        assert caught.value.what == "load binding.bpf.o, program reckless"
        assert "invalid access to packet" in caught.value.hint
        assert "processed" not in caught.value.hint
        assert "processed" in caught.value.log

    def test_the_log_of_an_accepted_program_is_kept(self, opened: Object) -> None:
        opened.programs["answer"].keep_log(LogLevel.STATS)
        opened.load()
        assert "stack depth 16" in opened.programs["answer"].log
        assert opened.programs["shrink"].log == ""

    def test_what_is_closed_says_so(self, loaded: Object) -> None:
        loaded.close()
        loaded.close()
        with pytest.raises(ValueError, match="closed"):
            loaded.load()
        with pytest.raises(ValueError, match="not open"):
            loaded.maps["pairs"].delete(bytes(8))

    def test_what_is_loaded_cannot_be_changed(self, loaded: Object) -> None:
        with pytest.raises(ValueError, match="loaded already"):
            loaded.maps["pairs"].resize(5)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with refused(errno.ENOENT):
            Object.open(tmp_path / "nothing.bpf.o")


class TestBtf:
    def test_structs_enums_and_variables(self, opened: Object) -> None:
        btf = opened.btf
        pair = btf.find(Struct, "pair")
        assert [(m.name, m.offset_bits, m.bits) for m in pair.members] == [
            ("first", 0, 0),
            ("second", 32, 0),
            ("flags", 48, 4),
            ("padding", 52, 12),
        ]
        assert pair.size == 8
        colours = btf.find(Enum, "colour")
        assert [(v.name, v.value) for v in colours.values] == [("RED", 1), ("GREEN", 7)]
        assert {p.size for p in btf.find(Section, ".rodata").placed} == {4}

    def test_maps_as_the_source_declares_them(self, path: Path) -> None:
        btf = Btf.from_file(path)
        maps = btf.maps()
        assert set(maps) == {"pairs", "counters", "generations", "shared"}
        pairs = maps["pairs"]
        assert (pairs.type, pairs.max_entries, pairs.key_size, pairs.value_size) == (1, 16, 8, 8)
        assert pairs.key == btf.find(Struct, "pair")
        assert maps["shared"].flags == MapFlag.MMAPABLE
        inner = maps["generations"].inner
        assert inner and (inner.type, inner.max_entries, inner.value_size) == (2, 8, 4)

    def test_the_types_of_a_loaded_map_are_its_own(self, loaded: Object) -> None:
        info = loaded.maps["pairs"].info
        with Map.create(
            MapType.HASH,
            "twin",
            key_size=8,
            value_size=8,
            max_entries=1,
            btf_fd=loaded.btf_fd,
            btf_key_type_id=info.btf_key_type_id,
            btf_value_type_id=info.btf_value_type_id,
        ) as twin:
            assert twin.info.btf_id == info.btf_id != 0
        key = loaded.btf[info.btf_key_type_id]
        assert key == loaded.btf.find(Struct, "pair")


class TestMap:
    def test_elements_come_and_go(self) -> None:
        with hash_map() as numbers:
            assert numbers.lookup(u32(1)) is None
            numbers.update(u32(1), u32(10))
            numbers.update(u32(2), u32(20), Update.NOEXIST)
            assert numbers.lookup(u32(1)) == u32(10)
            assert dict(numbers.items()) == {u32(1): u32(10), u32(2): u32(20)}
            assert set(numbers.keys()) == {u32(1), u32(2)}
            assert numbers.delete(u32(1))
            assert not numbers.delete(u32(1))

    def test_what_an_update_may_find(self) -> None:
        with hash_map(max_entries=1) as numbers:
            with refused(errno.ENOENT):
                numbers.update(u32(1), u32(0), Update.EXIST)
            numbers.update(u32(1), u32(0))
            with refused(errno.EEXIST):
                numbers.update(u32(1), u32(0), Update.NOEXIST)
            with pytest.raises(KernelError, match="update the map numbers: E2BIG"):
                numbers.update(u32(2), u32(0))

    def test_bytes_of_another_size_never_reach_the_kernel(self) -> None:
        with hash_map() as numbers:
            with pytest.raises(ValueError, match="3 bytes where it takes 4"):
                numbers.lookup(b"abc")
            with pytest.raises(ValueError, match="5 bytes where it takes 4"):
                numbers.update(u32(1), bytes(5))
            with pytest.raises(ValueError):
                numbers.update_batch([(u32(1), bytes(3)), (u32(2), bytes(5))])

    @pytest.mark.parametrize("type", [MapType.HASH, MapType.ARRAY])
    @pytest.mark.parametrize("count", [0, 1, 1024, 5000])
    def test_batches(self, type: MapType, count: int) -> None:
        wanted = {u32(number): u32(number + 7) for number in range(count)}
        with Map.create(type, "m", key_size=4, value_size=4, max_entries=max(count, 1)) as numbers:
            assert numbers.update_batch(wanted.items()) == count
            found = dict(numbers.items())
            assert found == wanted or (type == MapType.ARRAY and count == 0)
            rows = list(numbers.rows())
            assert b"".join(keys for keys, _ in rows) == b"".join(found)
            assert b"".join(values for _, values in rows) == b"".join(found.values())
            assert len(rows) <= -(-count // 1024) + 1, "many at once"

    def test_batches_of_a_prefix_tree(self) -> None:
        wanted = {struct.pack("=I4B", 24, 192, 0, n, 0): u32(n) for n in range(200)}
        with Map.create(
            MapType.LPM_TRIE,
            "trie",
            key_size=8,
            value_size=4,
            max_entries=256,
            flags=MapFlag.NO_PREALLOC,
        ) as trie:
            trie.update_batch(wanted.items())
            assert dict(trie.items()) == wanted
            assert sum(len(keys) for keys, _ in trie.rows()) == 8 * len(wanted)

    def test_a_batch_that_does_not_fit(self) -> None:
        with hash_map(max_entries=3) as numbers, refused(errno.E2BIG):
            numbers.update_batch((u32(number), u32(0)) for number in range(4))

    @pytest.mark.parametrize("type", [MapType.PERCPU_HASH, MapType.PERCPU_ARRAY])
    def test_a_value_for_each_cpu(self, type: MapType) -> None:
        values = [struct.pack("=3I", cpu, 1, 2) for cpu in range(possible_cpus())]
        with Map.create(type, "stats", key_size=4, value_size=12, max_entries=2) as stats:
            stats.update_per_cpu(u32(1), values)
            assert stats.lookup_per_cpu(u32(1)) == values
            assert dict(stats.items_per_cpu())[u32(1)] == values
            for misuse in (lambda: stats.lookup(u32(1)), lambda: stats.update(u32(1), values[0])):
                with pytest.raises(ValueError, match="per_cpu"):
                    misuse()

    def test_maps_in_a_map(self, loaded: Object) -> None:
        generations = loaded.maps["generations"]
        inner = Map.create(MapType.ARRAY, "inner", key_size=4, value_size=4, max_entries=8)
        with inner:
            inner.update(u32(3), u32(33))
            generations.update(u32(1), inner)
            assert generations.lookup(u32(1)) == u32(inner.info.id)
        with Map.from_id(inner.info.id) as again:  # the outer map holds it
            assert again.lookup(u32(3)) == u32(33)

    def test_an_inner_map_of_another_shape_is_refused(self, loaded: Object) -> None:
        with hash_map() as other, refused(errno.EINVAL):
            loaded.maps["generations"].update(u32(0), other)

    def test_maps_of_maps_are_made_by_pattern(self) -> None:
        with (
            hash_map() as pattern,
            Map.create(
                MapType.ARRAY_OF_MAPS,
                "outer",
                key_size=4,
                value_size=4,
                max_entries=1,
                inner=pattern,
            ) as outer,
        ):
            assert outer.update_batch([(u32(0), pattern)]) == 1
            assert outer.lookup(u32(0)) == u32(pattern.info.id)

    def test_shared_memory(self, loaded: Object) -> None:
        shared = loaded.maps["shared"]
        with shared.mmap() as memory:
            assert len(memory) == 3 * 8
            memory[8:12] = u32(77)
            assert shared.lookup(u32(1)) == u32(77)
            shared.update(u32(2), u32(88))
            assert memory[16:20] == u32(88)
        with shared.mmap(writable=False) as memory, pytest.raises(TypeError):
            memory[0] = 1
        with refused(errno.EINVAL):
            loaded.maps["pairs"].mmap()

    def test_pins(self, bpffs: Path) -> None:
        pin = bpffs / "numbers"
        with hash_map() as numbers:
            numbers.update(u32(1), u32(10))
            numbers.pin(pin)
            with refused(errno.EEXIST):
                numbers.pin(pin)
        with Map.from_pin(pin) as adopted:
            assert adopted.lookup(u32(1)) == u32(10)
        with pytest.raises(KernelError, match="it is not a program"):
            Program.from_pin(pin)
        Map.unpin(pin)
        Map.unpin(pin)
        with refused(errno.ENOENT):
            Map.from_pin(pin)


class TestProgram:
    def test_what_the_kernel_knows_of_it(self, loaded: Object) -> None:
        answer = loaded.programs["answer"]
        info = answer.info
        assert (info.type, info.name) == (ProgramType.XDP, "answer")
        assert len(info.tag) == 16
        used = ("pairs", "counters", "generations", "shared", ".rodata", ".bss")
        assert set(info.map_ids) == {loaded.maps[name].info.id for name in used}
        assert info.verified_instructions > 0 and info.instructions > 0 and info.jited_bytes > 0
        with Program.from_id(info.id) as again:
            assert again.info == info

    def test_a_packet_comes_out_as_the_program_left_it(self, loaded: Object) -> None:
        result = loaded.programs["shrink"].run(PACKET)
        assert (result.retval, result.data) == (XDP_TX, PACKET[14:])

    def test_an_xdp_context_goes_in(self, loaded: Object) -> None:
        context = XdpMd.of(PACKET)
        result = loaded.programs["shrink"].run(PACKET, context)
        assert XdpMd.from_buffer_copy(result.ctx).data_end == len(PACKET) - 14
        with refused(errno.EINVAL):
            loaded.programs["shrink"].run(PACKET, XdpMd(data_end=len(PACKET) + 1))

    def test_an_skb_context_goes_in_and_out(self, loaded: Object) -> None:
        result = loaded.programs["mark"].run(PACKET, SkBuff(mark=41, ifindex=1))
        assert (result.retval, result.data) == (TC_ACT_UNSPEC, PACKET)
        after = SkBuff.from_buffer_copy(result.ctx)
        assert (after.mark, after.cb[0]) == (42, 1)

    def test_rounds_are_counted_and_timed(self, loaded: Object) -> None:
        result = loaded.programs["answer"].run(PACKET, repeat=100)
        assert result.duration_ns >= 0
        assert sum_per_cpu(loaded.maps["counters"], 1) == 100

    def test_too_little_room_for_the_result(self, loaded: Object) -> None:
        with refused(errno.ENOSPC):
            loaded.programs["answer"].run(PACKET, data_out_size=20)

    def test_a_program_of_syscalls_is_called(self, loaded: Object) -> None:
        given = struct.pack("=3I", 5, 7, 0)
        returned, told = loaded.programs["add"].call(given)
        assert (returned, struct.unpack("=3I", told)) == (5, (5, 7, 12))
        assert given == struct.pack("=3I", 5, 7, 0), "what was given stays"
        with refused(errno.EINVAL):
            loaded.programs["add"].call(given[:8])

    def test_raw_instructions(self, bpffs: Path) -> None:
        with Program.load(ProgramType.XDP, "returns_3", returning(XDP_TX)) as program:
            assert program.run(PACKET).retval == XDP_TX
            program.pin(bpffs / "program")
        with Program.from_pin(bpffs / "program") as again:
            assert again.name == "returns_3"


class TestLink:
    """On a veth, in a network namespace that is the test's own."""

    @pytest.fixture
    def ifindex(self) -> Iterator[int]:
        name = f"binding-{os.getpid()}"
        netns.create(name)
        try:
            netns.run(name, ["ip", "link", "add", "near", "type", "veth", "peer", "far"])
            with netns.inside(name):
                yield socket.if_nametoindex("near")
        finally:
            netns.remove(name)

    PLACES = (
        pytest.param("answer", AttachType.XDP, XdpFlag.DRV_MODE, marks=needs.xdp_link, id="native"),
        pytest.param(
            "answer", AttachType.XDP, XdpFlag.SKB_MODE, marks=needs.xdp_link, id="generic"
        ),
        pytest.param("mark", AttachType.TCX_INGRESS, 0, marks=needs.tcx, id="ingress"),
        pytest.param("mark", AttachType.TCX_EGRESS, 0, marks=needs.tcx, id="egress"),
    )

    @pytest.mark.parametrize(("name", "place", "flags"), PLACES)
    def test_attached_listed_detached(
        self, loaded: Object, ifindex: int, name: str, place: AttachType, flags: int
    ) -> None:
        program = loaded.programs[name]
        with Link.create(program, ifindex, place, flags) as link:
            info = link.info
            assert info.program_id == program.info.id
            assert (info.ifindex, info.attach_type) == (ifindex, place)
            assert info.type == (LinkType.XDP if place == AttachType.XDP else LinkType.TCX)
            assert info in links()
            with Link.from_id(info.id) as same:
                assert same.info == info
            link.detach()
            assert link.info.ifindex == 0
        assert eventually(lambda: info.id not in [other.id for other in links()])

    @needs.xdp_link
    def test_the_mode_is_the_one_asked_for(self, loaded: Object, ifindex: int) -> None:
        for flags, shown in ((XdpFlag.SKB_MODE, "xdpgeneric"), (XdpFlag.DRV_MODE, "xdp")):
            with Link.create(loaded.programs["answer"], ifindex, AttachType.XDP, flags):
                described = subprocess.check_output(["ip", "link", "show", "near"], text=True)
                assert shown in described.split()

    @pytest.mark.parametrize(("name", "place", "flags"), PLACES)
    def test_a_pinned_link_stays_and_takes_another_program(
        self,
        loaded: Object,
        path: Path,
        bpffs: Path,
        ifindex: int,
        name: str,
        place: AttachType,
        flags: int,
    ) -> None:
        with Link.create(loaded.programs[name], ifindex, place, flags) as link:
            link.pin(bpffs / "link")
        with Object.open(path) as newer:
            newer.load()
            with Link.from_pin(bpffs / "link") as link:
                link.update(newer.programs[name])
                assert link.info.program_id == newer.programs[name].info.id
                assert link.info.ifindex == ifindex
                id = link.info.id
        Link.unpin(bpffs / "link")
        assert eventually(lambda: id not in [other.id for other in links()])

    @needs.xdp_link
    def test_a_place_is_taken_once(self, loaded: Object, ifindex: int) -> None:
        answer = loaded.programs["answer"]
        with (
            Link.create(answer, ifindex, AttachType.XDP),
            pytest.raises(KernelError, match=r"attach answer to device \d+ at XDP: EBUSY"),
        ):
            Link.create(answer, ifindex, AttachType.XDP)

    def test_a_device_that_is_not_there(self, loaded: Object, ifindex: int) -> None:
        with pytest.raises(KernelError) as caught:
            Link.create(loaded.programs["answer"], ifindex + 100, AttachType.XDP)
        assert caught.value.errno in (errno.EINVAL, errno.ENODEV)

    @needs.xdp_link
    def test_packets_meet_the_program(self, loaded: Object, ifindex: int) -> None:
        with Link.create(loaded.programs["answer"], ifindex, AttachType.XDP):
            for device in "near", "far":
                subprocess.run(["ip", "link", "set", device, "up"], check=True)
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as far:
                far.bind(("far", 0))
                far.send(PACKET)
            assert eventually(lambda: sum_per_cpu(loaded.maps["counters"], 1) > 0)

    @needs.xdp_link
    def test_a_test_run_on_a_device(self, loaded: Object, ifindex: int) -> None:
        program = loaded.programs["shrink"]
        with Link.create(loaded.programs["answer"], ifindex, AttachType.XDP):
            subprocess.run(["ip", "link", "set", "near", "up"], check=True)
            context = XdpMd.of(PACKET, ingress_ifindex=ifindex)
            assert program.run(PACKET, context).retval == XDP_TX


class TestProbes:
    def test_a_probe_leaves_its_thread_where_it_was(self) -> None:
        before = os.readlink("/proc/thread-self/ns/net")
        probe.has_tcx.cache_clear()
        assert probe.has_tcx() in (True, False)
        assert os.readlink("/proc/thread-self/ns/net") == before

    def test_bpffs(self, tmp_path: Path, bpffs: Path) -> None:
        assert probe.bpffs_mounted(bpffs)
        assert not probe.bpffs_mounted(tmp_path)
        assert not probe.bpffs_mounted(tmp_path / "nothing")
        probe.mount_bpffs(bpffs)  # not a second one on top
        with pytest.raises(KernelError, match="ENOTEMPTY"):
            probe.mount_bpffs(tmp_path)  # would hide what is in there
        assert bpffs.stat().st_mode & 0o777 == 0o700


def test_ring_buffer_without_records() -> None:
    with (
        Map.create(MapType.RINGBUF, "ring", key_size=0, value_size=0, max_entries=4096) as made,
        RingBuffer(made) as ring,
    ):
        assert ring.read(5) == []
        assert select.select([ring], [], [], 0) == ([], [], [])
        ring.close()
        with pytest.raises(ValueError, match="not open"):
            ring.read(1)


def test_not_every_map_is_a_ring_buffer() -> None:
    with (
        Map.create(MapType.ARRAY, "array", key_size=4, value_size=4, max_entries=1) as made,
        pytest.raises(KernelError, match="ring buffer array"),
    ):
        RingBuffer(made)


def variable(btf: Btf, section: str, name: str) -> slice:
    """Where a variable lies in its section."""
    for placed in btf.find(Section, section).placed:
        if isinstance(placed.type, Variable) and placed.type.name == name:
            return slice(placed.offset, placed.offset + placed.size)
    raise LookupError(name)


def sum_per_cpu(counters: Map, index: int) -> int:
    return sum(
        int.from_bytes(value, sys.byteorder) for value in counters.lookup_per_cpu(u32(index)) or []
    )


def returning(value: int) -> bytes:
    """r0 = value; exit"""
    return struct.pack("=BBhiBBhi", 0xB7, 0, 0, value, 0x95, 0, 0, 0)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether it holds within two seconds."""
    deadline = time.monotonic() + 2
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
