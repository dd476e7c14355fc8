# SPDX-License-Identifier: Apache-2.0
"""Whatever a runtime gives, the plugin answers as the specification has it: `call` sees to it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sixlane.cni import plugin
from tests.unit.cni.agents import RememberedPods, serving
from tests.unit.cni.calling import Ran, Runtime, call

COMMANDS = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"]
VARIABLES = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS", "CNI_PATH", "LANG"]
KEYS = [
    "cniVersion",
    "name",
    "type",
    "prevResult",
    "cni.dev/valid-attachments",
    "cni.dev/attachments",
    "capabilities",
    "runtimeConfig",
    "args",
    "dns",
    "ipam",
    "ipMasq",
    "pool",
    "device",
    "mtu",
    "timeoutSeconds",
]
RESULT_KEYS = ["cniVersion", "interfaces", "ips", "routes", "dns"]
ITEM_KEYS = ["name", "sandbox", "address", "interface", "dst", "containerID", "ifname", "ips"]

values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["eth0", "::1/128", "10.64.0.1", "1.1.0", "c1", "pods"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(ITEM_KEYS + RESULT_KEYS), inner, max_size=4)
    ),
    max_leaves=8,
)
results = st.dictionaries(st.sampled_from(RESULT_KEYS), values, max_size=5)
configs = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), values | results, max_size=5)
# What the environment of a process can have: anything but NUL.
texts = st.binary(max_size=20).map(lambda text: text.replace(b"\0", b""))
likely = st.sampled_from([b"c1", b"eth0", b"/dev/null", b"A=b;IgnoreUnknown=1", b"IP=::7", b""])
environments = st.dictionaries(st.sampled_from(VARIABLES), likely | texts)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    runtime = Runtime(tmp_path_factory.mktemp("cni"))
    with serving(RememberedPods(), runtime.socket):
        yield runtime


def check_answer(command: str, done: Ran) -> None:
    """Beside what `call` insists on: something is said where something is to be said."""
    speaks = command in ("ADD", "VERSION") or done.status != 0
    assert (done.told is not None) == speaks
    assert done.stdout.count(b"\n") == (1 if speaks else 0)
    if speaks:
        assert done.told["cniVersion"] in ("0.4.0", "1.0.0", "1.1.0")
        assert done.status == 0 or done.told["code"] != 100, done.told


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(COMMANDS), environments, st.binary(max_size=64))
@example("ADD", {}, b'{"cniVersion": "1.1.0", "name": "pods"')
@example("DEL", {"CNI_CONTAINERID": b"c1", "CNI_IFNAME": b"\xff"}, b"\xff")
def test_bytes(command: str, environment: dict[str, bytes], stdin: bytes) -> None:
    check_answer(command, call(command, stdin, environment))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(COMMANDS), environments, configs, st.booleans())
@example(
    "ADD",
    {"CNI_CONTAINERID": b"c1", "CNI_NETNS": b"/dev/null", "CNI_IFNAME": b"eth0"},
    {"prevResult": {"ips": [{"address": "", "interface": None}], "dns": {"search": 1}}},
    True,
)
@example("GC", {}, {"cni.dev/valid-attachments": [{"containerID": "", "ifname": "\ud800"}]}, True)
def test_configurations(
    runtime: Runtime,
    command: str,
    environment: dict[str, bytes],
    config: dict[str, Any],
    is_whole: bool,
) -> None:
    whole: dict[str, Any] = {"CNI_CONTAINERID": b"c1", "CNI_NETNS": b"/dev/null"}
    whole |= {"CNI_IFNAME": b"eth0"}
    given = {"cniVersion": "1.1.0", "name": "pods", "socket": str(runtime.socket)}
    timeout = {} if is_number(config.get("timeoutSeconds")) else {"timeoutSeconds": 30}
    stdin = json.dumps({**(given if is_whole else {}), **config, **timeout}).encode()
    if not is_whole:  # no socket: it must not ask the agent of this machine
        stdin = json.dumps({**config, "socket": "/dev/null/none", **timeout}).encode()
    environment = {**(whole if is_whole else {}), **environment}
    check_answer(command, call(command, stdin, environment))


@settings(max_examples=40, deadline=None)
@given(environments, st.binary(max_size=16))
def test_commands_of_any_name(environment: dict[str, bytes], name: bytes) -> None:
    command = name.replace(b"\0", b"")
    done = call(None, b"", {**environment, "CNI_COMMAND": command})
    if command != b"VERSION":
        done.failure(4, "CNI_COMMAND")


def outcome(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return ValueError  # of which JSONDecodeError is one
    except RecursionError:
        return RecursionError


def strictly(text: str) -> Any:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(text, parse_constant=refuse)


@settings(deadline=None)
@given(values.map(json.dumps) | st.text('{}[]":, \t\n01-.eE\\utrfalsnNI\u00e9', max_size=12))
@example("")
@example(" \t\r\n1 ")
@example("\u00a01")
@example("1 2")
@example("-Infinity")
@example("[" * 100000)
@example("9" * 5000)
def test_json_is_read_as_json_does(text: str) -> None:
    assert outcome(plugin.read_json, text) == outcome(strictly, text)


@settings(deadline=None)
@given(values)
def test_json_is_written_as_json_does(value: Any) -> None:
    try:
        wanted = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        with pytest.raises(ValueError):
            plugin.written_json(value)
        return
    assert plugin.written_json(value) == wanted


def is_number(value: object) -> bool:
    """A time limit that is one may be too short for an answer, which is nothing to be found."""
    return isinstance(value, int | float)
