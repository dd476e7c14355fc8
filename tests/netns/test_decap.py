# SPDX-License-Identifier: Apache-2.0
"""A client's packets come in tunnels, and a backend that was set up by the command answers them
straight back. In a gateway's place stands a program on the client's own device."""

import contextlib
import hashlib
import http.client
import http.server
import io
import itertools
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any

import pytest

from sixlane.bpf import AttachType, Link, Object, Program, ProgramType, probe
from sixlane.bpf.btf import Section, Variable
from sixlane.cli.main import cli
from sixlane.model.packed import packed_address
from sixlane.net import address, clsact, ethtool, link, netns, route, sysctl
from tests import needs
from tests.netns import spaces
from tests.netns.compiled import compile_bpf

pytestmark = [
    pytest.mark.netns,
    needs.root,
    needs.bpf,
    needs.command("clang"),
    needs.command("gcc"),
    needs.command("ip"),
]

MTU = 1500
PORT = 8080
CLIENT = {4: "203.0.113.5", 6: "2001:db8:c::5"}
OWN = {4: "203.0.113.7", 6: "2001:db8:c::7"}
VIP = {4: "192.175.48.200", 6: "2001:db8:64::200"}
OTHER_VIP = {4: "192.175.48.201", 6: "2001:db8:64::201"}
SOURCES = {4: ("198.18.0.0", 15), 6: ("100::", 64)}
FAMILIES = pytest.mark.parametrize(("outer", "inner"), [(4, 4), (4, 6), (6, 4), (6, 6)])
ENTRIES = pytest.mark.parametrize("entry", ["tc", "xdp"])
BODY = bytes(range(251)) * 8_000  # 2 MB
OUTER_BYTES = {4: 20, 6: 40}
INNER_BYTES = {4: 20, 6: 40}
TCP_BYTES, TIMESTAMP_BYTES = 20, 12

_BPF = Path(__file__).parents[2] / "bpf"
_numbers = itertools.count()


@dataclass
class Site:
    """Two namespaces with one link between them, and where the backend's pins go."""

    client: str
    backend: str
    pins: Path
    tunnel: Path

    def command(self, *argv: str, code: int = 0) -> str:
        """`sixlane decap` on the backend: what it says, on stderr if it fails."""
        out, err = io.StringIO(), io.StringIO()
        with (
            netns.inside(self.backend),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            cli.main(["decap", *argv, "--bpffs", str(self.pins)])
        assert ended.value.code == code, out.getvalue() + err.getvalue()
        return err.getvalue() if code > 1 else out.getvalue()

    def up(self, *options: str) -> str:
        named = [part for vip in VIP.values() for part in ("--vip", vip)]
        return self.command("up", "--device", "eth0", *named, *options)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.command("status", "-o", "json"))
        return found

    def counted(self) -> dict[str, tuple[int, int]]:
        return {
            name: (count["packets"], count["bytes"])
            for name, count in self.status()["counters"].items()
            if count["packets"]
        }


@pytest.fixture(scope="module")
def tunnel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).with_name("tunnel.bpf.c")
    return compile_bpf(source, tmp_path_factory.mktemp("tunnel"), _BPF)


@pytest.fixture
def site(tunnel: Path) -> Iterator[Site]:
    pins = Path(f"/sys/fs/bpf/decap-{os.getpid()}-{next(_numbers)}")
    with spaces.new() as client, spaces.new() as backend:
        _raise(client, backend)
        try:
            yield Site(client, backend, pins, tunnel)
        finally:
            shutil.rmtree(pins, ignore_errors=True)


def _raise(client: str, backend: str, index: int = 0) -> None:
    """`index`: that the backend's device is to have."""
    numbered = ["index", str(index)] if index else []
    with netns.inside(backend):
        peer = ["peer", "name", "eth0", "netns", client]
        spaces.command("ip", "link", "add", "eth0", *numbered, "type", "veth", *peer)
    for name, own in ((client, CLIENT), (backend, OWN)):
        with netns.inside(name):
            link.set_up("lo")
            link.set_up("eth0")
            address.add("eth0", ip_interface(f"{own[4]}/24"))
            address.add("eth0", ip_interface(f"{own[6]}/64"))
    with netns.inside(client):
        for version, vip in (*VIP.items(), *OTHER_VIP.items()):
            route.add(ip_network(vip), via=ip_address(OWN[version]))


@contextlib.contextmanager
def tunnelling(site: Site, outer: int) -> Iterator[None]:
    """What the client sends to the VIPs leaves it in a tunnel of that family."""
    source, length = SOURCES[outer]
    host = (1 << (32 if outer == 4 else 128) - length) - 1
    values = {
        "backend": packed_address(ip_address(OWN[outer])),
        "vips": b"".join(packed_address(ip_address(vip)) for vip in VIP.values()),
        "from": packed_address(ip_address(source)) + host.to_bytes(16),
    }
    with Object.open(site.tunnel) as opened, netns.inside(site.client):
        rodata = opened.maps[".rodata"].initial_value
        for placed in opened.btf.find(Section, ".rodata").placed:
            assert isinstance(placed.type, Variable)
            rodata[placed.offset : placed.offset + placed.size] = values[placed.type.name]
        opened.load()
        program, device = opened.programs["send_in_tunnel"], link.index("eth0")
        if not probe.has_tcx():
            clsact.attach(device, program.fd, "tunnel", direction="egress")
            yield
            return
        with Link.create(program, device, AttachType.TCX_EGRESS):
            yield


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers with the digest of what it was sent, and who sent it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = f"{hashlib.sha256(body).hexdigest()} {self.client_address[0]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def serving(site: Site, inner: int) -> Iterator[None]:
    """An HTTP server at the VIP alone."""

    class Server(_Server):
        address_family = socket.AF_INET if inner == 4 else socket.AF_INET6

    with netns.inside(site.backend):
        server = Server((VIP[inner], PORT), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def post(site: Site, inner: int, body: bytes = BODY) -> int:
    """Sends it to the VIP. Returns the largest segment that the client may send, in bytes."""
    with netns.inside(site.client):
        connection = http.client.HTTPConnection(VIP[inner], PORT, timeout=20)
        connection.connect()
    with contextlib.closing(connection):
        most = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        connection.request("POST", "/", body)
        answer = connection.getresponse().read().decode()
    assert answer == f"{hashlib.sha256(body).hexdigest()} {CLIENT[inner]}"
    return most


def segmentation(site: Site, on: bool) -> None:
    with netns.inside(site.client):
        ethtool.set_features(
            "eth0",
            {
                "tx-tcp-segmentation": on,
                "tx-tcp6-segmentation": on,
                "tx-generic-segmentation": on,
            },
        )


# ---- traffic ----


@ENTRIES
@FAMILIES
def test_http_straight_back(site: Site, entry: str, outer: int, inner: int) -> None:
    """XDP on the backend's end has the client's segment its packets; tc is handed whole ones."""
    site.up("--entry", entry)
    with serving(site, inner), tunnelling(site, outer):
        post(site, inner)
    counted = site.counted()
    assert list(counted) == ["done"]
    packets, size = counted["done"]
    assert size > len(BODY)
    whole = INNER_BYTES[inner] + TCP_BYTES + TIMESTAMP_BYTES + 2 * MTU
    assert entry == "xdp" or len(BODY) / packets > whole
    site.command("down")


@ENTRIES
@FAMILIES
def test_segments_have_room_for_the_tunnel(site: Site, entry: str, outer: int, inner: int) -> None:
    """Without segmentation on the device, each is what would go on a wire, and none is too long:
    the backend's device would not take it. The outer header may be IPv6's, so that has room."""
    site.up("--entry", entry)
    segmentation(site, False)
    with serving(site, inner), tunnelling(site, outer):
        most = post(site, inner)
    room = MTU - OUTER_BYTES[6] - INNER_BYTES[inner] - TCP_BYTES
    assert most == room - TIMESTAMP_BYTES
    packets, size = site.counted()["done"]
    assert size / packets <= MTU - OUTER_BYTES[6]
    site.command("down")


@ENTRIES
@FAMILIES
def test_datagrams(site: Site, entry: str, outer: int, inner: int) -> None:
    """Sent as one packet, which tc is handed whole: ten come up."""
    udp_segment, each, count = 103, 1000, 10  # linux/udp.h
    family = socket.AF_INET if inner == 4 else socket.AF_INET6
    site.up("--entry", entry)
    with netns.inside(site.backend):
        server = socket.socket(family, socket.SOCK_DGRAM)
    with server, tunnelling(site, outer):
        server.bind((VIP[inner], PORT))
        server.settimeout(10)
        with netns.inside(site.client), socket.socket(family, socket.SOCK_DGRAM) as client:
            client.setsockopt(socket.SOL_UDP, udp_segment, each)
            client.sendto(BODY[: each * count], (VIP[inner], PORT))
        got = [server.recvfrom(2000) for _ in range(count)]
    assert b"".join(data for data, _ in got) == BODY[: each * count]
    assert {sender[0] for _, sender in got} == {CLIENT[inner]}
    assert {name: packets for name, (packets, _) in site.counted().items()} == {
        "done": 1 if entry == "tc" else count
    }
    site.command("down")


def test_segments_by_the_one_own_address(site: Site) -> None:
    site.up("--address", OWN[4])
    with serving(site, 4), tunnelling(site, 4):
        assert post(site, 4) == MTU - 20 - 20 - TCP_BYTES - TIMESTAMP_BYTES
        site.up("--address", OWN[4], "--mss", "700")
        assert post(site, 4) == 700 - TIMESTAMP_BYTES
        site.up("--address", OWN[4], "--mss", "none")
        assert post(site, 4) == MTU - 20 - TCP_BYTES - TIMESTAMP_BYTES
    site.command("down")


def test_strangers_are_kept_out(site: Site) -> None:
    """The same tunnel from an address that is no gateway's."""
    site.up("--source", "198.51.100.0/24")
    with serving(site, 4), tunnelling(site, 4):
        with netns.inside(site.client), socket.socket() as stranger:
            stranger.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)
            stranger.settimeout(0.5)
            with pytest.raises(TimeoutError):
                stranger.connect((VIP[4], PORT))
        assert list(site.counted()) == ["drop_source"]
        site.up()
        post(site, 4)
    site.command("down")


@contextlib.contextmanager
def pinging(site: Site) -> Iterator[None]:
    """Echo requests to the VIP all the time, of which none may be lost."""
    argv = ["ping", "-n", "-q", "-i", "0.02", "-W", "1", VIP[4]]
    with netns.popen(site.client, argv, stdout=subprocess.PIPE, text=True) as ping:
        try:
            yield
        finally:
            ping.send_signal(signal.SIGINT)  # ping prints its statistics
            out, _ = ping.communicate(timeout=5)
    assert " 0% packet loss" in out, out


@needs.command("ping")
def test_changes_in_place_lose_no_packet(site: Site) -> None:
    site.up("--entry", "tc")
    both = ("--vip", OTHER_VIP[4], "--vip", OTHER_VIP[6])
    with tunnelling(site, 4), pinging(site):
        site.up("--entry", "tc")
        site.up("--entry", "tc", *both)
        assert {one["address"] for one in site.status()["vips"]} == {
            *VIP.values(),
            *OTHER_VIP.values(),
        }
        site.up("--entry", "tc")
        site.up("--entry", "tc", "--source", "198.18.0.0/16", "--source", "198.19.0.0/16")
        site.up("--entry", "tc", "--address", OWN[4])
    assert set(site.counted()) == {"done"}
    assert {one["address"] for one in site.status()["vips"]} == set(VIP.values())
    site.command("down")


def test_the_entry_is_changed_in_place(site: Site) -> None:
    """A connection goes on: a device that gets an XDP program may lose what it is just handed."""
    site.up("--entry", "tc")
    with serving(site, 4), tunnelling(site, 4), netns.inside(site.client):
        connection = http.client.HTTPConnection(VIP[4], PORT, timeout=20)
        with contextlib.closing(connection):
            for entry in ("tc", "xdp", "tc"):
                site.up("--entry", entry)
                assert site.status()["entry"] == entry
                connection.request("POST", "/", b"a word")
                assert CLIENT[4] in connection.getresponse().read().decode()
    site.command("down")


# ---- what it does to the machine ----


def machine(site: Site) -> dict[str, Any]:
    """What of the backend could have been changed; link-local things come by themselves, later."""
    settings = ("rp_filter", "arp_ignore", "arp_announce")
    with netns.inside(site.backend):
        return {
            "addresses": [
                one for one in address.list_addresses() if one.scope != address.SCOPE_LINK
            ],
            "settings": {
                (device, name): sysctl.get(("net", "ipv4", "conf", device, name))
                for device in ("all", "lo", "eth0")
                for name in settings
            },
            "qdiscs": spaces.command("tc", "qdisc", "show"),
            "routes": [
                line
                for family in ("-4", "-6")
                for line in spaces.command(
                    "ip", family, "route", "show", "table", "all"
                ).splitlines()
                if "fe80::" not in line and "ff00::" not in line
            ],
            "programs": spaces.command("ip", "-d", "link", "show", "eth0").count("prog"),
            "pins": site.pins.exists(),
        }


@pytest.mark.parametrize("entry", ["auto", "tc", "xdp"])
def test_down_leaves_nothing(site: Site, entry: str) -> None:
    before = machine(site)
    site.up("--entry", entry)
    assert machine(site) != before
    site.up("--entry", entry, "--vip", OTHER_VIP[4])
    site.command("down")
    assert machine(site) == before
    assert site.command("down") == "down: no tunnels end here\n"
    assert json.loads(site.command("status", "-o", "json", code=1)) == {"up": False}


def test_a_vip_that_was_there_stays(site: Site) -> None:
    with netns.inside(site.backend):
        address.add("lo", ip_interface(f"{VIP[4]}/32"))
    before = machine(site)
    assert VIP[4] not in site.up().split("up:")[0]
    site.command("down")
    assert machine(site) == before


def test_a_setting_of_somebody_else_stays(site: Site) -> None:
    name = ("net", "ipv4", "conf", "eth0", "arp_ignore")
    site.up()
    with netns.inside(site.backend):
        sysctl.set(name, 8)
    assert "arp_ignore is 8 by somebody else: not restored to 0" in site.command("down")
    with netns.inside(site.backend):
        assert sysctl.get(name) == "8"


def test_settings_that_are_strict_enough_are_left_alone(site: Site) -> None:
    with netns.inside(site.backend):
        for name, value in (("arp_ignore", 2), ("arp_announce", 2)):
            sysctl.set(("net", "ipv4", "conf", "all", name), value)
    before = machine(site)
    assert "arp" not in site.up()
    assert machine(site)["settings"] == before["settings"]
    site.command("down")


def test_without_ipv4_vips_no_setting_is_changed(site: Site) -> None:
    before = machine(site)["settings"]
    site.up()
    assert machine(site)["settings"] != before
    said = site.command("up", "--device", "eth0", "--vip", VIP[6])
    assert "restored net/ipv4/conf/eth0/arp_ignore to 0" in said
    assert machine(site)["settings"] == before
    site.command("down")


@pytest.mark.parametrize("outer", [4, 6])
def test_the_way_back_may_be_another_one(site: Site, outer: int) -> None:
    """Strictly filtered, the backend would not take what it would not answer to by that device."""
    with netns.inside(site.backend):
        link.create_veth("away", "awayp", up=True)
        address.add("away", ip_interface("192.0.2.1/24"))
        sysctl.set(("net", "ipv4", "conf", "eth0", "rp_filter"), 1)
    before = machine(site)["settings"]
    site.up()
    with netns.inside(site.backend):
        route.add(ip_network(CLIENT[4]), via=ip_address("192.0.2.2"))
    with (
        serving(site, 4),
        tunnelling(site, outer),
        netns.inside(site.client),
        socket.socket() as caller,
    ):
        caller.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            caller.connect((VIP[4], PORT))
        _wait_for(lambda: _half_open(site))
    site.command("down")
    assert machine(site)["settings"] == before


def _half_open(site: Site) -> bool:
    """Whether a SYN has come up to the backend's TCP."""
    with netns.inside(site.backend):
        return "SYN-RECV" in spaces.command("ss", "-tan")


def _wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nobody_is_told_of_a_vip(site: Site) -> None:
    """The gateways answer for it: neither is it answered for, nor told of when asking."""
    site.up()
    with netns.inside(site.client), serving(site, 4), tunnelling(site, 4):
        with _arp_socket() as wire:
            for target in (VIP[4], OWN[4]):  # the second answer shows that the first would be here
                wire.send(_arp_request(target))
            assert _sender(_next_arp(wire, of=2)) == OWN[4]
        post(site, 4, b"a word")  # the client knows the backend now, and does not ask it
        with netns.inside(site.backend):
            spaces.command("ip", "neigh", "flush", "dev", "eth0")
        with _arp_socket() as wire:
            post(site, 4, b"a word")
            assert _sender(_next_arp(wire, of=1)) == OWN[4]
    site.command("down")


def _arp_socket() -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    wire.bind(("eth0", 0x0806))
    wire.settimeout(10)
    return wire


def _arp_request(target: str) -> bytes:
    mac = link.get("eth0").mac
    body = bytes.fromhex("0001080006040001") + mac + ip_address(CLIENT[4]).packed + bytes(6)
    return b"\xff" * 6 + mac + b"\x08\x06" + body + ip_address(target).packed


def _next_arp(wire: socket.socket, of: int) -> bytes:
    """The next that comes from the backend: 1 request, 2 reply."""
    own = link.get("eth0").mac
    while True:
        frame = wire.recv(100)
        if frame[6:12] != own and frame[21] == of:
            return frame


def _sender(frame: bytes) -> str:
    return str(ip_address(frame[28:32]))


@pytest.mark.parametrize("inner", [4, 6])
def test_a_vip_is_no_source_of_the_machines_own(site: Site, inner: int) -> None:
    """Of a machine whose own address is on lo, too, and less alike the destination's."""
    node = ip_interface({4: "192.0.2.7/32", 6: "2001:db8:7::7/128"}[inner])
    near = {4: "192.175.48.7", 6: "2001:db8:64::7"}[inner]
    with netns.inside(site.backend):
        address.remove("eth0", ip_interface(f"{OWN[inner]}/{24 if inner == 4 else 64}"))
        route.add(ip_network(near), dev="eth0")
    site.up("--address", OWN[10 - inner])
    with netns.inside(site.backend):
        address.add("lo", node)
        family = socket.AF_INET if inner == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as caller:
            caller.connect((near, 9))
            assert caller.getsockname()[0] == str(node.ip)
    site.command("down")


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "eth9", "--vip", VIP[4]], "no device eth9"),
        (["--device", "lo", "--vip", VIP[4]], "device lo is not an Ethernet device"),
        (["--device", "eth0", "--vip", OWN[4]], f"the VIP {OWN[4]} is an address of device eth0"),
        (["--device", "eth0", "--vip", "224.0.0.5"], "--vip: 224.0.0.5 is in 224.0.0.0/4"),
        (["--device", "eth0", "--vip", "one"], "--vip: one is not an IPv4 address"),
        (
            ["--device", "eth0", "--vip", VIP[4], "--address", "192.0.2.9"],
            "no device has the address 192.0.2.9",
        ),
        (
            ["--device", "eth0", "--vip", VIP[4], "--source", "10.1.0.0/8"],
            "--source: 10.1.0.0/8 has bits set behind its length",
        ),
    ],
)
def test_what_cannot_be_is_refused(site: Site, options: list[str], said: str) -> None:
    before = machine(site)
    answer = site.command("up", *options, code=5)
    assert said in answer
    assert answer.count("\n") == 1
    assert machine(site) == before


def test_wrong_sizes_are_wrong_usage(site: Site) -> None:
    for size in ("87", "65496", "-1", "many"):
        assert "'--mss'" in site.command(
            "up", "--device", "eth0", "--vip", VIP[4], f"--mss={size}", code=2
        )


def test_a_loopback_that_is_down_serves_nothing(site: Site) -> None:
    with netns.inside(site.backend):
        link.set_down("lo")
    refused = site.command("up", "--device", "eth0", "--vip", VIP[4], code=5)
    assert "device lo, which has the VIPs, is down (ip link set lo up)" in refused


@ENTRIES
def test_a_program_of_others_is_in_the_way(site: Site, entry: str) -> None:
    """Found out when all else is done already: that is taken back."""
    pass_all = struct.pack("=BBhiBBhi", 0xB7, 0, 0, 2, 0x95, 0, 0, 0)  # r0 = XDP_PASS; exit
    with contextlib.ExitStack() as stack:
        stack.enter_context(netns.inside(site.backend))
        if entry == "xdp":
            program = stack.enter_context(Program.load(ProgramType.XDP, "others", pass_all))
            stack.enter_context(Link.create(program, link.index("eth0"), AttachType.XDP))
        else:
            with Program.load(ProgramType.SCHED_CLS, "others", pass_all) as program:
                clsact.attach("eth0", program.fd, "others", preference=1)
        before = machine(site)
        said = site.command("up", "--device", "eth0", "--vip", VIP[4], "--entry", entry, code=5)
        assert "somebody else" in said
        assert machine(site) == before


def test_another_device_or_namespace(site: Site) -> None:
    site.up()
    with netns.inside(site.backend):
        link.create_veth("eth1", "eth1p", up=True)
        address.add("eth1", ip_interface("192.0.2.1/24"))
    said = site.command("up", "--device", "eth1", "--vip", VIP[4], code=5)
    assert "device eth0 is set up already" in said
    elsewhere = Site(site.client, site.client, site.pins, site.tunnel)
    for argv in (["down"], ["status"]):
        assert "belongs to another network namespace" in elsewhere.command(*argv, code=5)
    said = elsewhere.command("up", "--device", "eth0", "--vip", VIP[4], code=5)
    assert "another network namespace is set up with these pins" in said
    assert site.status()["entry"] == "tc"
    site.command("down")


def test_another_version_is_not_touched(site: Site) -> None:
    site.up()
    (pin,) = (site.pins / "maps").glob("vips-*")
    pin.rename(pin.with_name("vips-00000000"))
    for argv in (["down"], ["status"], ["up", "--device", "eth0", "--vip", VIP[4]]):
        assert "another version of sixlane" in site.command(*argv, code=5)
    (pin.with_name("vips-00000000")).rename(pin)
    site.command("down")


# ---- what goes wrong later ----


def test_a_vip_that_was_taken_away_is_told_of_and_comes_back(site: Site) -> None:
    site.up()
    with netns.inside(site.backend):
        address.remove("lo", ip_interface(f"{VIP[4]}/32"))
    assert "no device has it" in site.command("status", code=1)
    assert f"added {VIP[4]}/32 to device lo" in site.up()
    assert f"{VIP[4]}" in site.command("status")
    site.command("down")


def test_a_device_that_is_gone(site: Site) -> None:
    """Its program and its settings went with it; what is on lo did not."""
    site.up()
    with netns.inside(site.backend):
        link.delete("eth0")
    assert "which is gone" in site.command("status", code=1)
    said = site.command("down")
    assert f"removed {VIP[4]}/32 from device lo" in said
    assert not site.pins.exists()


@ENTRIES
@pytest.mark.parametrize("index", [77, 78])
def test_a_device_that_is_gone_and_there_again(site: Site, entry: str, index: int) -> None:
    """With the index that it had before, or another one."""
    with netns.inside(site.client):
        link.delete("eth0")
    _raise(site.client, site.backend, 77)
    site.up("--entry", entry)
    with netns.inside(site.client):
        link.delete("eth0")
    _raise(site.client, site.backend, index)
    with netns.inside(site.backend):
        assert link.index("eth0") == index
    site.up("--entry", entry)
    assert site.status()["device"] == "eth0"
    with serving(site, 4), tunnelling(site, 6):
        post(site, 4)
    site.command("down")


def test_one_that_was_killed_at_the_start_is_no_obstacle(site: Site) -> None:
    """With some of the maps made, and nothing else."""
    site.up()
    site.command("down")
    (site.pins / "maps").mkdir(parents=True)
    assert "no tunnels end here" in site.command("down")
    assert not site.pins.exists()
    (site.pins / "maps").mkdir(parents=True)
    site.up()
    site.command("down")
