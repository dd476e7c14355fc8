# SPDX-License-Identifier: Apache-2.0
"""The CNI plugin, each command as a process of its own, before an agent's API."""

import ast
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sixlane.cni import plugin
from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.pods.attached import CniCode, PodError
from sixlane.pods.pod import Attachment, PodName
from tests import needs
from tests.unit.cni import agents
from tests.unit.cni.agents import RememberedPods, answering, serving
from tests.unit.cni.calling import COMMAND, PLUGIN, Ran, Runtime, call

VERSIONS = ["0.4.0", "1.0.0", "1.1.0"]
FIRST = Attachment("c1", "eth0")
HOST = FIRST.host_device
WAITING_S = 0.3
_NOBODY = 65534


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RememberedPods, Path]]:
    pods, path = RememberedPods(), tmp_path_factory.mktemp("agent") / "api.sock"
    with serving(pods, path):
        yield pods, path


@pytest.fixture
def pods(agent: tuple[RememberedPods, Path], runtime: Runtime) -> RememberedPods:
    """Those of an agent that the runtime is told of; none yet."""
    pods, runtime.socket = agent
    pods.forget()
    return pods


def made(version: str, netns: Path, first_interface: int = 0) -> dict[str, Any]:
    """What a pod's ADD makes, in the form of the version."""
    with_mtu: dict[str, Any] = {"mtu": 1500} if version == "1.1.0" else {}
    of_ipv6 = {"version": "6"} if version == "0.4.0" else {}
    of_ipv4 = {"version": "4"} if version == "0.4.0" else {}
    its = {"interface": first_interface + 1}
    gateway = {"gateway": "fe80::1"}
    return {
        "cniVersion": version,
        "interfaces": [
            {"name": HOST, "mac": "0a:00:00:00:00:01", **with_mtu},
            {"name": "eth0", "mac": "0a:00:00:00:00:02", **with_mtu, "sandbox": str(netns)},
        ],
        "ips": [
            {**of_ipv6, **its, "address": "2001:db8:64:1::1/128", **gateway},
            {**of_ipv4, **its, "address": "10.64.0.1/32", "gateway": "169.254.1.1"},
            {**of_ipv6, **its, "address": "64:ff9b::c0af:3001/128", **gateway},
        ],
        "routes": [
            {"dst": "::/0", "gw": "fe80::1"},
            {"dst": "0.0.0.0/0", "gw": "169.254.1.1"},
            {"dst": "fe80::1/128"},
        ],
        "dns": {},
    }


# VERSION


@pytest.mark.parametrize(
    ("stdin", "version"),
    [
        *((f'{{"cniVersion": "{version}"}}'.encode(), version) for version in VERSIONS),
        (b'{"cniVersion": "2.0.0"}', "1.1.0"),
        (b'{"cniVersion": 1}', "1.1.0"),
        (b"", "1.1.0"),
        (b"\xff{", "1.1.0"),
    ],
)
def test_version(stdin: bytes, version: str) -> None:
    told = call("VERSION", stdin).result()
    assert told == {"cniVersion": version, "supportedVersions": VERSIONS}


def test_version_while_the_input_stays_open() -> None:
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            COMMAND, stdin=reading, env={"CNI_COMMAND": "VERSION"}, capture_output=True, check=True
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert done.stdout.startswith(b'{"cniVersion":"1.1.0"')


# ADD


@pytest.mark.parametrize("version", VERSIONS)
def test_add_tells_the_result_in_the_form_of_its_version(
    runtime: Runtime, pods: RememberedPods, version: str
) -> None:
    runtime.version = version
    assert runtime.add().result() == made(version, runtime.netns("c1"))
    (asked,) = pods.asked
    assert (asked.attachment, asked.netns) == (FIRST, str(runtime.netns("c1")))
    assert (asked.pod, asked.pool, asked.fixed, asked.device, asked.mtu) == (
        (None, None, (), None, None)
    )
    assert pods.there[FIRST][1] == "pods"


def test_add_twice_is_add_once(runtime: Runtime, pods: RememberedPods) -> None:
    first = runtime.add().result()
    assert runtime.add().result() == first
    assert runtime.add("c2").result()["ips"][0]["address"] == "2001:db8:64:1::2/128"
    assert len(pods.there) == 2


def test_devices_without_a_mac_are_told_without(runtime: Runtime, pods: RememberedPods) -> None:
    pods.has_macs = False
    host, inside = runtime.add().result()["interfaces"]
    assert host == {"name": HOST, "mtu": 1500}
    assert inside == {"name": "eth0", "mtu": 1500, "sandbox": str(runtime.netns("c1"))}


def test_what_a_pod_asks_for_reaches_the_agent(runtime: Runtime, pods: RememberedPods) -> None:
    arguments = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=7f;OTHER=a=b"
    dns = {"nameservers": ["2001:db8:64::53"], "search": ["svc.example.net"]}
    annotations = {"sixlane.dev/mtu": "1400", "kubernetes.io/else": "x"}
    config: dict[str, Any] = {
        "pool": "edge",
        "device": "netkit-l2",
        "mtu": 1300,
        "dns": dns,
        "capabilities": {"ips": True, "io.kubernetes.cri.pod-annotations": True, "mac": False},
        "runtimeConfig": {
            "ips": ["2001:db8:64:1::7/64", "10.64.0.9"],
            "io.kubernetes.cri.pod-annotations": annotations,
        },
        "cni.dev/more": 1,
    }
    told = runtime.add(arguments=arguments, **config).result()
    (asked,) = pods.asked
    assert asked.pod == PodName("shop", "web-0", "7f")
    assert (asked.pool, asked.device, asked.mtu) == ("edge", "netkit-l2", 1400)
    assert [str(address) for address in asked.fixed] == ["2001:db8:64:1::7", "10.64.0.9"]
    assert [ip["address"] for ip in told["ips"][:2]] == ["2001:db8:64:1::7/128", "10.64.0.9/32"]
    assert told["dns"] == dns


@pytest.mark.parametrize("version", VERSIONS)
def test_what_earlier_plugins_made_stays_in_front(
    runtime: Runtime, pods: RememberedPods, version: str
) -> None:
    runtime.version = version
    of_ipv4 = {"version": "4"} if version == "0.4.0" else {}
    before: dict[str, Any] = {
        "cniVersion": version,
        "interfaces": [{"name": "lo", "sandbox": str(runtime.netns("c1")), "odd": 1}],
        "ips": [{**of_ipv4, "interface": 0, "address": "127.0.0.1/8"}, {"address": "::1/128"}],
        "routes": [{"dst": "192.31.196.0/24"}],
        "dns": {"nameservers": ["::1"], "domain": "first", "search": ["a"]},
        "more": True,
    }
    dns = {"nameservers": ["::1", "2001:db8:64::53"], "domain": "second", "options": ["rotate"]}
    ours = made(version, runtime.netns("c1"), first_interface=1)
    assert runtime.add(prevResult=before, dns=dns).result() == {
        "cniVersion": version,
        "interfaces": [*before["interfaces"], *ours["interfaces"]],
        "ips": [*before["ips"], *ours["ips"]],
        "routes": [*before["routes"], *ours["routes"]],
        "dns": {
            "nameservers": ["::1", "2001:db8:64::53"],
            "domain": "first",
            "search": ["a"],
            "options": ["rotate"],
        },
        "more": True,
    }


def test_an_interface_that_an_earlier_plugin_made_is_not_made_again(
    runtime: Runtime, pods: RememberedPods
) -> None:
    before = runtime.add().result()
    pods.there.clear()
    runtime.add(prevResult=before).failure(7, "has eth0 in")
    assert not pods.there
    elsewhere = {"interfaces": [{"name": "eth0", "sandbox": "/another"}, {"name": "eth0"}]}
    runtime.add(prevResult=elsewhere).result()


@pytest.mark.parametrize(
    "before",
    [
        [],
        {"interfaces": {}},
        {"ips": [1]},
        {"ips": [{}]},
        {"ips": [{"address": "::1/128", "interface": 0}]},
        {"ips": [{"address": "::1/128", "interface": True}], "interfaces": [{}, {}]},
        {"routes": "all"},
        {"dns": ["x"]},
    ],
)
def test_a_previous_result_that_is_none(
    runtime: Runtime, pods: RememberedPods, before: object
) -> None:
    runtime.add(prevResult=before).failure(7, "prevResult")
    runtime.check(before).failure(7, "prevResult")
    assert not pods.there


# CHECK


@pytest.mark.parametrize("version", VERSIONS)
def test_check_of_what_add_told(runtime: Runtime, pods: RememberedPods, version: str) -> None:
    runtime.version = version
    told = runtime.add().result()
    later: dict[str, Any] = {
        **told,
        "ips": [*told["ips"], {"address": "2001:db8:9::1/64", "interface": 1}],
    }
    unsaid = {**told, "ips": [{**ip, "interface": None} for ip in told["ips"]]}
    for before in (told, {**told, "routes": []}, later, unsaid):
        done = runtime.check(before)
        assert (done.result(), done.stdout) == (None, b"")


def test_check_of_what_has_changed(runtime: Runtime, pods: RememberedPods) -> None:
    told = runtime.add().result()
    pods.change(FIRST, mac=b"\x0a\0\0\0\0\x07")
    runtime.check(told).failure(101, "eth0 has the MAC 0a:00:00:00:00:07")
    pods.change(FIRST, mac=agents.MAC, host_mac=b"\x0a\0\0\0\0\x08")
    runtime.check(told).failure(101, f"{HOST} has the MAC 0a:00:00:00:00:08")
    pods.change(FIRST, host_mac=agents.HOST_MAC)
    runtime.check(told).result()
    runtime.check({**told, "ips": told["ips"][1:]}).failure(101, "the pod has 2001:db8:64:1::1")
    runtime.check({**told, "interfaces": told["interfaces"][:1], "ips": []}).failure(
        101, "no interface eth0"
    )
    runtime.check({**told, "ips": [{"address": "x"}]}).failure(7, "is not an address")


def test_check_of_nobody(runtime: Runtime, pods: RememberedPods) -> None:
    told = runtime.add().result()
    runtime.delete().result()
    runtime.check(told).failure(3, "there is no eth0 of c1")
    runtime.check(None).failure(7, "prevResult is missing")


# DEL


def test_del_twice(runtime: Runtime, pods: RememberedPods) -> None:
    runtime.add().result()
    for _ in range(2):
        done = runtime.delete()
        assert (done.result(), done.stdout) == (None, b"")
        assert not pods.there


@pytest.mark.parametrize("netns", [None, "", "/gone", "nowhere", b"/\xff", "/proc/self/ns/net"])
def test_del_with_any_namespace(
    runtime: Runtime, pods: RememberedPods, netns: str | bytes | None
) -> None:
    runtime.add().result()
    environment = runtime.environment("c1", CNI_ARGS="=")
    if netns is None:
        del environment["CNI_NETNS"]
    else:
        environment["CNI_NETNS"] = netns
    call("DEL", runtime.config(), environment).result()
    assert not pods.there


def test_del_with_a_configuration_that_has_been_spoilt(
    runtime: Runtime, pods: RememberedPods
) -> None:
    runtime.add().result()
    runtime.delete(pol="x", ipam={"type": "host-local"}, prevResult=[1], mtu="?").result()
    assert not pods.there
    for spoilt in (b'"args": 1e999', b'"args": "\\ud800"', b'"args": ' + b"[" * 99 + b"]" * 99):
        runtime.add().result()
        config = json.dumps(runtime.config()).encode()
        call("DEL", config[:-1] + b", " + spoilt + b"}", runtime.environment("c1")).result()
        assert not pods.there


def test_del_while_the_agent_is_away_is_tried_again(runtime: Runtime) -> None:
    pods = RememberedPods()
    with serving(pods, runtime.socket):
        runtime.add().result()
    runtime.delete().failure(11, "the agent is not running")
    assert FIRST in pods.there
    with serving(pods, runtime.socket):
        runtime.delete().result()
    assert not pods.there


# GC


def test_gc_leaves_those_that_are_named_and_other_networks(
    runtime: Runtime, pods: RememberedPods
) -> None:
    for container in ("c1", "c2", "c3"):
        runtime.add(container).result()
    runtime.add("c4", name="storage").result()
    done = runtime.gc("c2", "unknown")
    assert (done.result(), done.stdout) == (None, b"")
    assert [attachment.container_id for attachment in pods.there] == ["c2", "c4"]
    runtime.gc("c2").result()
    call("GC", runtime.config(**{"cni.dev/attachments": []})).result()
    assert [attachment.container_id for attachment in pods.there] == ["c4"]
    runtime.gc("c2", name="storage").result()
    assert not pods.there


def test_gc_without_a_list_takes_nothing_away(runtime: Runtime, pods: RememberedPods) -> None:
    runtime.add().result()
    call("GC", runtime.config()).failure(7, "cni.dev/valid-attachments is missing")
    wrongs: list[Any] = [{}, [1], [{"containerID": "c1"}], [{"containerID": 1, "ifname": "eth0"}]]
    for wrong in wrongs:
        given = runtime.config(**{"cni.dev/valid-attachments": wrong})
        call("GC", given).failure(7, "cni.dev/valid-attachments")
    given = runtime.config(**{"cni.dev/valid-attachments": [{"containerID": "", "ifname": ""}]})
    call("GC", given).failure(4)
    assert pods.there
    call("GC", runtime.config(**{"cni.dev/valid-attachments": None})).result()
    assert not pods.there


# STATUS


def test_status(runtime: Runtime, pods: RememberedPods) -> None:
    done = runtime.status()
    assert (done.result(), done.stdout) == (None, b"")
    for code in (CniCode.NOT_AVAILABLE, CniCode.LIMITED):
        pods.fail = PodError(code, "there is no Network", "apply one")
        assert runtime.status().failure(code, "there is no Network")["details"] == "apply one"
    pods.fail = None
    runtime.status(mtu=9).failure(7, "9 is too small")


def test_status_without_an_agent(runtime: Runtime) -> None:
    runtime.status().failure(50, "the agent is not running")
    with answering(runtime.socket, agents.silent_until_it_goes):
        runtime.status(timeoutSeconds=WAITING_S).failure(50, "does not answer")


@pytest.mark.parametrize("command", ["GC", "STATUS"])
def test_commands_that_older_versions_have_not(
    runtime: Runtime, pods: RememberedPods, command: str
) -> None:
    for version in ("0.4.0", "1.0.0"):
        given = runtime.config(**{"cniVersion": version, "cni.dev/valid-attachments": []})
        told = call(command, given).failure(1, f"there is no {command} in CNI version {version}")
        assert told["cniVersion"] == version


# What is wrong with the environment


@pytest.mark.parametrize("command", ["ADD", "CHECK"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CNI_CONTAINERID", None, "CNI_CONTAINERID is missing"),
        ("CNI_CONTAINERID", "-c1", "CNI_CONTAINERID is '-c1'"),
        ("CNI_CONTAINERID", "c 1", "letters, digits"),
        ("CNI_CONTAINERID", "c\u00e91", "letters, digits"),
        ("CNI_NETNS", None, "CNI_NETNS is missing"),
        ("CNI_NETNS", "run/netns/c1", "no path from / on"),
        ("CNI_NETNS", b"/run/netns/\xff", "no path from / on"),
        ("CNI_NETNS", "/run/netns/gone-64", "No such file or directory"),
        ("CNI_NETNS", "/proc/self/ns/net", "the plugin's own network namespace"),
        ("CNI_IFNAME", "", "CNI_IFNAME is missing"),
        ("CNI_IFNAME", "..", "no name of a network interface"),
        ("CNI_IFNAME", "a/b", "no name of a network interface"),
        ("CNI_IFNAME", "a:b", "no name of a network interface"),
        ("CNI_IFNAME", "a b", "no name of a network interface"),
        ("CNI_IFNAME", "a\nb", "no name of a network interface"),
        ("CNI_IFNAME", "x" * 16, "no name of a network interface"),
        ("CNI_IFNAME", "\u00e9" * 8, "no name of a network interface"),
        ("CNI_IFNAME", b"\xff", "no name of a network interface"),
        ("CNI_ARGS", "K8S_POD_NAME", "CNI_ARGS is 'K8S_POD_NAME'"),
        ("CNI_ARGS", "=x", "not KEY=VALUE"),
        ("CNI_ARGS", b"A=\xff", "not KEY=VALUE"),
        ("CNI_ARGS", "K8S_POD_NAM=x", "CNI_ARGS: unknown key K8S_POD_NAM"),
    ],
)
def test_an_environment_that_is_wrong(
    runtime: Runtime,
    pods: RememberedPods,
    command: str,
    name: str,
    value: str | bytes | None,
    words: str,
) -> None:
    environment = runtime.environment("c1")
    if value is None:
        del environment[name]
    else:
        environment[name] = value
    told = call(command, runtime.config(prevResult={}), environment).failure(4, words)
    assert name in told["msg"]
    assert not pods.there


def test_all_that_is_wrong_is_named_at_once(runtime: Runtime) -> None:
    told = call("ADD", runtime.config(), {"CNI_IFNAME": "."}).failure(4)
    for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"):
        assert name in told["msg"]
    told = call("DEL", runtime.config()).failure(4)
    assert told["msg"] == "CNI_CONTAINERID is missing; CNI_IFNAME is missing"


@pytest.mark.parametrize("command", [None, "", "add", "FROB"])
def test_commands_that_there_are_not(command: str | None) -> None:
    told = call(command).failure(4, "CNI_COMMAND is ")
    assert "VERSION, ADD, DEL, CHECK, GC, STATUS" in told["details"]


def test_the_longest_names(runtime: Runtime, pods: RememberedPods) -> None:
    environment = runtime.environment("c_1.a-B" * 9, CNI_IFNAME="x" * 15)
    call("ADD", runtime.config(name="a.b_c-9"), environment).result()
    call("ADD", runtime.config(), runtime.environment("c2", CNI_IFNAME="\u00e9th0")).result()
    assert len(pods.there) == 2


# What is wrong with the configuration


@pytest.mark.parametrize(
    ("stdin", "words"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b'\xef\xbb\xbf{"cniVersion": "1.1.0"}', "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b'{"a": NaN}', "is not JSON"),
        (b"9" * 5000, "is not JSON"),
        (b"[" * 100000, "is nested too deep"),
        (b'{"cniVersion": 1.1}', "cniVersion is '1.1'"),
        (b'{"cniVersion": ["1.1.0"]}', "cniVersion is a list"),
        (b" " * ((16 << 20) + 1), "larger than 16 MiB"),
    ],
)
def test_a_configuration_that_cannot_be_read(runtime: Runtime, stdin: bytes, words: str) -> None:
    for command in ("ADD", "DEL", "CHECK", "GC", "STATUS"):
        told = call(command, stdin, runtime.environment("c1")).failure(6, words)
        assert told["cniVersion"] == "1.1.0"


@pytest.mark.parametrize("version", [None, "", "0.1.0", "0.3.1", "1.2.0", "2.0.0", "1.1", "x"])
def test_versions_that_are_not_known(runtime: Runtime, version: str | None) -> None:
    config = runtime.config()
    if version is None:
        del config["cniVersion"]
    else:
        config["cniVersion"] = version
    for command in ("ADD", "DEL", "CHECK", "GC", "STATUS"):
        told = call(command, config, runtime.environment("c1")).failure(1, version or "0.1.0")
        assert told["details"] == "sixlane knows 0.4.0, 1.0.0, 1.1.0"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": None}, "name is missing"),
        ({"name": ""}, "name is missing"),
        ({"name": 7}, "name is '7'"),
        ({"name": "../pods"}, "name is '../pods'"),
        ({"name": "-pods"}, "name is '-pods'"),
        ({"socket": 1}, "socket is '1'"),
        ({"socket": "api.sock"}, "socket is 'api.sock'"),
        ({"socket": "/\0"}, "socket is "),
        ({"socket": "/" + "x" * 107}, "socket is "),
        ({"socket": "/\ud800"}, "socket is "),
        ({"timeoutSeconds": 0}, "timeoutSeconds is '0'"),
        ({"timeoutSeconds": 601}, "timeoutSeconds is '601'"),
        ({"timeoutSeconds": True}, "timeoutSeconds is 'true'"),
        ({"timeoutSeconds": "1"}, "timeoutSeconds is '1'"),
        ({"mtu": 1279}, "1279 is too small: mtu"),
        ({"mtu": 65536}, "65536 is too large: mtu"),
        ({"mtu": "1500"}, "1500 is not a whole number: mtu"),
        ({"device": "tun"}, "tun is not known here: device"),
        ({"pool": ""}, "pool"),
        ({"dns": {"nameserver": []}}, "dns.nameserver"),
        ({"capabilities": {"ips": 1}}, "1 is not true or false: capabilities.ips"),
        ({"runtimeConfig": {"ips": "::1"}}, "runtimeConfig.ips"),
        ({"runtimeConfig": {"ips": ["::g"]}}, "::g is not an IP address: runtimeConfig.ips"),
        ({"args": {"cni": {"ips": [1]}}}, "args.cni.ips"),
        (
            {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"sixlane.dev/mtu": "9k"}}},
            "annotations.mtu",
        ),
        ({"runtimeConfig": {"io.kubernetes.cri.pod-annotations": 1}}, "pod-annotations"),
    ],
)
def test_a_configuration_that_is_wrong(
    runtime: Runtime, pods: RememberedPods, more: dict[str, Any], words: str
) -> None:
    runtime.version = "0.4.0"
    told = runtime.add(**more).failure(7, words)
    assert told["cniVersion"] == "0.4.0"
    assert not pods.there


@pytest.mark.parametrize(
    ("more", "words", "hint"),
    [
        ({"mtus": 1500}, "unsupported field mtus: 1500", "did you mean mtu?"),
        ({"ipMasq": True}, "unsupported field ipMasq: true", "Gateway"),
        (
            {"ipam": {"type": "host-local"}},
            'unsupported field ipam: {"type": "host-local"}',
            "the Network's pools",
        ),
        ({"capabilities": {"mac": True}}, "capabilities.mac: true", "ips"),
        (
            {"runtimeConfig": {"io.kubernetes.cri.pod-annotations": {"sixlane.dev/pol": "x"}}},
            'unsupported field sixlane.dev/pol: "x"',
            "did you mean pool?",
        ),
    ],
)
def test_a_field_that_nobody_sees_to(
    runtime: Runtime, pods: RememberedPods, more: dict[str, Any], words: str, hint: str
) -> None:
    assert hint in runtime.add(**more).failure(2, words)["details"]
    assert not pods.there


def test_fields_that_ask_for_nothing(runtime: Runtime, pods: RememberedPods) -> None:
    nothing: dict[str, Any] = {
        "ipMasq": False,
        "ipam": {},
        "dns": {},
        "args": {"labels": ["x"]},
        "mtu": None,
    }
    before: dict[str, Any] = {
        "interfaces": None,
        "ips": [],
        "routes": None,
        "dns": [],
    }  # as others write nothing
    runtime.add(prevResult=before, **nothing).result()
    runtime.status(**nothing).result()


def test_a_number_that_is_none(runtime: Runtime) -> None:
    text = b'{"cniVersion": "1.1.0", "name": "pods", "args": {"a": 1e999}}'
    call("ADD", text, runtime.environment("c1")).failure(6, "cannot be written as JSON again")


def test_half_a_character(runtime: Runtime, pods: RememberedPods) -> None:
    runtime.add(args={"a": "\ud800"}).failure(6, "half a surrogate pair")


# Each error of the agent


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *((PodError(code, "why", "how"), code) for code in CniCode),
        (ConfigError("why", "how"), 7),
        (NotSupported("netkit", "how"), 7),
        (KernelError(16, "why", "how"), 102),
        (SixlaneError("why", "how"), 100),
    ],
)
def test_errors_of_the_agent(
    runtime: Runtime, pods: RememberedPods, error: SixlaneError, code: int
) -> None:
    runtime.add().result()
    pods.fail = error
    for done in (runtime.add(), runtime.delete(), runtime.gc(), runtime.status()):
        assert done.failure(code, error.message)["details"] == "how"


def test_a_defect_of_the_agent(runtime: Runtime, pods: RememberedPods) -> None:
    pods.fail = ZeroDivisionError("secret")
    told = runtime.add().failure(100, "ZeroDivisionError: a defect of sixlane")
    assert "secret" not in str(told)


def test_the_codes_are_those_of_the_agent() -> None:
    tree = ast.parse(PLUGIN.read_text())
    constants = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    shared = {name for name in constants if name in CniCode.__members__}
    assert len(shared) == 8, constants
    assert {name: constants[name] for name in shared} == {
        name: CniCode[name].value for name in shared
    }


# No agent, and others in its place


@pytest.mark.parametrize("command", ["ADD", "DEL", "CHECK", "GC"])
def test_no_agent(runtime: Runtime, command: str) -> None:
    before = {"interfaces": [{"name": "lo"}]}
    given = runtime.config(**{"cni.dev/valid-attachments": [], "prevResult": before})

    def ask(**more: Any) -> Ran:
        return call(command, {**given, **more}, runtime.environment("c1"))

    ask().failure(11, f"the agent is not running: nobody listens on {runtime.socket}")
    ask(socket="/dev/null/x").failure(11, "the agent is not running")
    with answering(runtime.socket, lambda _: None):
        ask().failure(11, "the agent ended while it was asked")
    ask().failure(11, "the agent is not running")  # its socket is left
    runtime.socket.unlink()
    runtime.socket.write_text("")
    ask().failure(11)


@pytest.mark.parametrize(
    "answer",
    [
        b"H",
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
    ],
)
def test_an_agent_that_is_killed_while_it_answers(runtime: Runtime, answer: bytes) -> None:
    with answering(runtime.socket, agents.saying(answer)):
        runtime.add().failure(11, "the agent ended while it was asked")
        runtime.delete().failure(11, "the agent ended while it was asked")
        runtime.status().failure(50, "the agent ended while it was asked")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"220 mail.example.net\r\n\r\n", "is not the agent"),
        (b"\0\xff" * 9000, "is not the agent"),
        (b"HTTP/1.1\r\n\r\n", "is not the agent"),
        (b"HTTP/1.1 999 Odd\r\n\r\n", "is not the agent"),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", "is not the agent"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "is not the agent"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{}", "is not the agent"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{", "answer is not JSON"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answer is not a JSON object"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ips":[1]}', "not a list of objects"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "answer is not JSON"),
    ],
)
def test_somebody_else_in_the_place_of_the_agent(
    runtime: Runtime, answer: bytes, words: str
) -> None:
    with answering(runtime.socket, agents.saying(answer)):
        runtime.add().failure(6, words)


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (b"", 100, "the agent says HTTP 500"),
        (b"[]", 100, "the agent says HTTP 500"),
        (b'{"cniCode": 0, "detail": ""}', 100, "the agent says HTTP 500"),
        (b'{"cniCode": true, "detail": 7, "hint": 7}', 100, "the agent says HTTP 500"),
        (b'{"cniCode": 1000, "detail": "x"}', 100, "x"),
        (b'{"cniCode": 999, "detail": "x"}', 999, "x"),
        (b'{"type": "urn:sixlane:problem:no-such-path"}', 11, "has no pod networking"),
    ],
)
def test_odd_problems(runtime: Runtime, problem: bytes, code: int, words: str) -> None:
    head = f"HTTP/1.1 500 No\r\nContent-Length: {len(problem)}\r\n\r\n"
    with answering(runtime.socket, agents.saying(head.encode() + problem)):
        runtime.add().failure(code, words)


def test_an_agent_of_a_version_without_pods(runtime: Runtime) -> None:
    with answering(
        runtime.socket,
        agents.saying(
            b"HTTP/1.1 404 No\r\nContent-Length: 43\r\n\r\n"
            b'{"type":"urn:sixlane:problem:no-such-path"}'
        ),
    ):
        runtime.status().failure(50, "has no pod networking")


@pytest.mark.parametrize("answer", [agents.silent_until_it_goes, agents.dribbling])
def test_an_agent_that_hangs(runtime: Runtime, answer: Any) -> None:
    with answering(runtime.socket, answer):
        runtime.add(timeoutSeconds=WAITING_S).failure(11, "the agent does not answer")
        runtime.delete(timeoutSeconds=WAITING_S).failure(11, "the agent does not answer")


def test_an_agent_that_takes_no_connections(runtime: Runtime) -> None:
    """Its queue is full: connecting itself waits."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(runtime.socket))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as first:
            first.connect(str(runtime.socket))
            runtime.add(timeoutSeconds=WAITING_S).failure(11, "the agent does not answer")


@needs.root
def test_no_permission(runtime: Runtime, pods: RememberedPods) -> None:
    """By the plugin's own function: another user may not be able to read what the tests lie in."""
    runtime.directory.chmod(0o700)
    os.seteuid(_NOBODY)
    try:
        for away, code in ((plugin.TRY_AGAIN_LATER, 5), (plugin.NOT_AVAILABLE, 50)):
            with pytest.raises(plugin.Failure, match="no permission") as caught:
                plugin.exchange(str(runtime.socket), "/v1/cni/status", {}, away)
            assert caught.value.code == code
    finally:
        os.seteuid(0)


# Standard input and output


def test_an_input_that_does_not_end(runtime: Runtime) -> None:
    """The time limit of the plugin itself, shortened: no configuration has been read yet."""
    source = PLUGIN.read_text().replace("\nTIMEOUT_S = 60.0\n", "\nTIMEOUT_S = 0.3\n")
    assert "TIMEOUT_S = 0.3" in source
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [*COMMAND[:-1], "-c", source],
            stdin=reading,
            env={"CNI_COMMAND": "ADD"},
            capture_output=True,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b'"code":5,"msg":"the configuration does not come to its end"' in done.stdout


def test_without_an_input() -> None:
    program = ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND]
    told = call("ADD", b"", {"PATH": os.defpath}, program).failure(5, "standard input")
    assert told["cniVersion"] == "1.1.0"
    call("VERSION", b"", {"PATH": os.defpath}, program).result()


@pytest.mark.parametrize("where", ["/dev/full", None])
def test_nobody_reads_what_it_says(where: str | None) -> None:
    with open(where or os.devnull, "wb") as out:
        done = subprocess.run(
            COMMAND if where else ["sh", "-c", 'exec "$@" >&-', "sh", *COMMAND],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            env={"CNI_COMMAND": "VERSION", "PATH": os.defpath},
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


# Many at once


def test_sixteen_at_once(runtime: Runtime, pods: RememberedPods) -> None:
    containers = [f"c{number}" for number in range(48)]
    with ThreadPoolExecutor(16) as threads:
        told = [done.result() for done in threads.map(runtime.add, containers)]
        assert len({one["ips"][0]["address"] for one in told}) == len(containers)
        assert len(pods.there) == len(containers)
        again = [done.result() for done in threads.map(runtime.add, containers)]
        assert again == told
        for done in threads.map(runtime.delete, [*containers, *containers]):
            done.result()
    assert not pods.there


def test_the_same_pod_at_once(runtime: Runtime, pods: RememberedPods) -> None:
    with ThreadPoolExecutor(16) as threads:
        told = [done.result() for done in threads.map(runtime.add, ["c1"] * 16)]
    assert all(one == told[0] for one in told)
    assert len(pods.there) == 1


def test_the_agent_comes_back_while_it_is_asked(runtime: Runtime) -> None:
    """Each try fails with a code that has the runtime try again, or does what it shall."""
    pods, ending = RememberedPods(), threading.Event()

    def come_and_go() -> None:
        while not ending.is_set():
            with serving(pods, runtime.socket):
                ending.wait(0.15)
            ending.wait(0.1)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    tries = 0
    try:
        for number in range(8):
            while (done := runtime.add(f"c{number}")).status != 0:
                done.failure(11)
                tries += 1
    finally:
        ending.set()
        thread.join()
    assert len(pods.there) == 8


# What it is made of


@pytest.mark.parametrize("version", VERSIONS)
def test_on_another_python(runtime: Runtime, pods: RememberedPods, version: str) -> None:
    """One that has not what lies under json: then the plugin takes json, signal and socket."""
    source = f"exec(compile(open({str(PLUGIN)!r}).read(), 'plugin.py', 'exec'))"
    program = [*COMMAND[:-1], "-c", f"import sys; sys.modules['_json'] = None; {source}"]
    runtime.version = version
    environment = runtime.environment("c1")
    told = call("ADD", runtime.config(), environment, program).result()
    assert told == made(version, runtime.netns("c1"))
    call("DEL", runtime.config(), environment, program).result()
    assert not pods.there
    call("ADD", b"{", environment, program).failure(6, "is not JSON")
    infinite = b'{"cniVersion": "1.1.0", "name": "pods", "args": {"a": 1e999}}'
    call("ADD", infinite, environment, program).failure(6, "cannot be written as JSON again")


def test_it_imports_the_standard_library_alone() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(PLUGIN.read_text())):
        if isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(str(node.module))
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    done = subprocess.run(
        [*COMMAND[:-1], "-X", "importtime", COMMAND[-1]],
        stdin=subprocess.DEVNULL,
        env={"CNI_COMMAND": "VERSION"},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()[1:]}
    assert "json" in imported
    assert {name.partition(".")[0] for name in imported} <= sys.stdlib_module_names
    # These cost much of the start, and nothing here needs them.
    assert imported.isdisjoint({"typing", "http.client", "email", "subprocess", "logging", "site"})
