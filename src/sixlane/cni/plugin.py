# SPDX-License-Identifier: Apache-2.0
"""What a container runtime asks of a network, put to the agent (CNI specification 1.1.0).

A runtime starts this program for each pod that comes or goes, so it is made to start quickly: one
file on the standard library alone, with an HTTP request that is written by hand. The agent does
the work and judges what is asked; here is what the specification has between a runtime and a
plugin: environment and configuration in, one JSON object on standard output, exit status 0 or 1.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing is not worth the time that it takes to import
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    Data = dict[str, Any]
    encode_basestring_ascii: Any
    make_encoder: Any
    make_scanner: Any
else:
    # json, signal and socket bring enum, re and more along, which take longer than the interpreter
    # itself to start. What lies under them does all that is needed here; it is CPython's alone.
    try:
        import _signal as signal
        import _socket as socket
        from _json import encode_basestring_ascii, make_encoder, make_scanner
    except ImportError:
        import signal
        import socket

        make_encoder = make_scanner = None

VERSIONS = ("0.4.0", "1.0.0", "1.1.0")
LATEST = VERSIONS[-1]
_ABSENT_VERSION = "0.1.0"  # what a configuration without cniVersion is written in

SOCKET = "/run/sixlane/api.sock"
TIMEOUT_S = 60.0
"""For all of it. The longest timeout of runtimes is above that, so they hear why."""
_MOST_TIMEOUT_S = 600.0
_VERSION_INPUT_S = 2.0  # VERSION can be answered without
_MOST_BYTES = 16 << 20  # of the configuration, and of an answer
_MOST_PATH_BYTES = 107  # of a unix socket
_MOST_IFNAME_BYTES = 15

# The specification's error codes ("Error", well-known error codes); from 100 on they are ours.
INCOMPATIBLE_VERSION = 1
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIGURATION = 7
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
DEFECT = 100

_ALPHANUMERIC = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_OF_NAMES = _ALPHANUMERIC | frozenset("_.-")


class Failure(Exception):
    """What the runtime is told. `details`: how to mend it, or ""."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.details = code, message, details

    def as_data(self, version: str) -> Data:
        told: Data = {"cniVersion": version, "code": self.code, "msg": self.message}
        return {**told, "details": self.details} if self.details else told


# The commands. Each returns what is to be printed, or None for nothing.


class Call:
    """One call of the runtime's: what it has in the environment, and the configuration."""

    def __init__(self, environment: Mapping[str, str], config: Data, version: str) -> None:
        self.environment, self.config, self.version = environment, config, version

    @property
    def attachment(self) -> Data:
        """What the interface is called by; `netns`: None where it is not known."""
        netns = self.environment.get("CNI_NETNS", "")
        return {
            "containerId": self.environment["CNI_CONTAINERID"],
            "netns": netns if netns and _is_text(netns) else None,
            "ifname": self.environment["CNI_IFNAME"],
        }

    def ask(self, route: str, body: Data, away: int = TRY_AGAIN_LATER) -> bytes:
        """The agent's answer. `away`: the code where there is none."""
        path, seconds = socket_of(self.config), timeout_of(self.config)
        limit(seconds, Failure(away, f"the agent does not answer: {path}", "see its log"))
        status, answer = exchange(path, f"/v1/cni/{route}", body, away)
        if status >= 300:
            raise refusal(status, answer, away)
        return answer


def add(call: Call) -> Data:
    before = call.config.get("prevResult")
    if before is not None:
        check_result(before, "prevResult", INVALID_CONFIGURATION)
        _check_free(call, before)
    answer = call.ask("add", _wanted(call))
    made = parse_object(answer, "the agent's answer")
    check_result(made, "the agent's answer", DECODING_FAILURE)
    return merged(before or {}, in_form_of(made, call.version), call.version)


def check(call: Call) -> None:
    before = call.config.get("prevResult")
    if before is None:
        raise Failure(
            INVALID_CONFIGURATION, "prevResult is missing", "CHECK is about what ADD told"
        )
    check_result(before, "prevResult", INVALID_CONFIGURATION)
    call.ask("check", {**_wanted(call), "prevResult": before})


def delete(call: Call) -> None:
    """Needs nothing but the interface's name: whatever has become of the configuration and the
    namespace, what there is goes."""
    call.ask("del", call.attachment)


def gc(call: Call) -> None:
    valid = valid_attachments(call.config)
    call.ask("gc", {"network": call.config["name"], "validAttachments": valid})


def status(call: Call) -> None:
    call.ask("status", {"config": _own(call.config)}, NOT_AVAILABLE)


# Which version has brought a command, and what it needs of the environment.
_WITH_NAMESPACE = ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_ARGS")
_COMMANDS: dict[str, tuple[Callable[[Call], Data | None], str, tuple[str, ...]]] = {
    "ADD": (add, "0.1.0", _WITH_NAMESPACE),
    "DEL": (delete, "0.1.0", ("CNI_CONTAINERID", "CNI_IFNAME")),
    "CHECK": (check, "0.4.0", _WITH_NAMESPACE),
    "GC": (gc, "1.1.0", ()),
    "STATUS": (status, "1.1.0", ()),
}


def _wanted(call: Call) -> Data:
    arguments = parse_arguments(call.environment.get("CNI_ARGS", ""))
    return {**call.attachment, "args": arguments, "config": _own(call.config)}


def _own(config: Data) -> Data:
    """The configuration without what this program alone has to do with."""
    ours = ("prevResult", "socket", "timeoutSeconds")
    return {key: value for key, value in config.items() if key not in ours}


# What the runtime gives.


def check_environment(environment: Mapping[str, str], needed: tuple[str, ...]) -> None:
    """Raises one `Failure` that names all that is wrong (specification: the message must)."""
    wrong = {}
    for name in needed:
        value = environment.get(name, "")
        problem = _CHECKS[name](value) if value or name == "CNI_ARGS" else "is missing"
        if problem:
            wrong[name] = problem
    if wrong:
        told = "; ".join(f"{name} {problem}" for name, problem in wrong.items())
        raise Failure(INVALID_ENVIRONMENT, told)


def _check_container_id(text: str) -> str:
    return "" if _is_name(text) else f"is {_shown(text)}: letters, digits, _ . - are allowed"


def _check_ifname(text: str) -> str:
    is_name = (
        len(os.fsencode(text)) <= _MOST_IFNAME_BYTES
        and text not in (".", "..")
        and not any(c in "/:" or c.isspace() or not c.isprintable() for c in text)
    )
    return "" if is_name else f"is {_shown(text)}: no name of a network interface"


def _check_netns(path: str) -> str:
    if not path.startswith("/") or not _is_text(path):
        return f"is {_shown(path)}: no path from / on"
    try:
        there, here = os.stat(path), os.stat("/proc/self/ns/net")
    except OSError as error:
        return f"is {_shown(path)}: {error.strerror}"
    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
        return f"is {_shown(path)}: the plugin's own network namespace"
    return ""


def _check_arguments(text: str) -> str:
    pairs = [pair for pair in text.split(";") if pair]
    if all(pair.partition("=")[0] and "=" in pair for pair in pairs) and _is_text(text):
        return ""
    return f"is {_shown(text)}: not KEY=VALUE;KEY=VALUE"


_CHECKS: dict[str, Callable[[str], str]] = {
    "CNI_CONTAINERID": _check_container_id,
    "CNI_NETNS": _check_netns,
    "CNI_IFNAME": _check_ifname,
    "CNI_ARGS": _check_arguments,
}


def _is_name(text: str) -> bool:
    """As the specification has it for containers and networks."""
    return bool(text) and text[0] in _ALPHANUMERIC and _OF_NAMES.issuperset(text)


def _is_text(text: str) -> bool:
    """Bytes that are no UTF-8 are in the environment as halves of surrogate pairs."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _shown(value: object) -> str:
    """On one line, and not too long; "missing" for nothing."""
    if value is None or value == "":
        return "missing"
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = value if isinstance(value, str) else written_json(value)
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def parse_arguments(text: str) -> dict[str, str]:
    """CNI_ARGS, which has been checked. The last one of a name counts."""
    pairs = (pair.partition("=") for pair in text.split(";") if pair)
    return {key: value for key, _, value in pairs}


def read_input() -> bytes:
    """All of standard input."""
    chunks, size = [], 0
    try:
        while chunk := os.read(0, 1 << 16):
            chunks.append(chunk)
            size += len(chunk)
            if size > _MOST_BYTES:
                what = f"the configuration is larger than {_MOST_BYTES >> 20} MiB"
                raise Failure(DECODING_FAILURE, what)
    except OSError as error:
        what = f"standard input cannot be read: {error.strerror}"
        raise Failure(IO_FAILURE, what) from None
    return b"".join(chunks)


def parse_object(text: bytes, what: str) -> Data:
    try:
        value = read_json(text.decode())
    except RecursionError:
        raise Failure(DECODING_FAILURE, f"{what} is nested too deep") from None
    except ValueError as error:
        raise Failure(DECODING_FAILURE, f"{what} is not JSON", str(error)) from None
    if not isinstance(value, dict):
        raise Failure(DECODING_FAILURE, f"{what} is not a JSON object")
    return value


def version_of(config: Data) -> str:
    version = config.get("cniVersion") or _ABSENT_VERSION
    if not isinstance(version, str):
        raise Failure(DECODING_FAILURE, f"cniVersion is {_shown(version)}", 'such as "1.1.0"')
    if version not in VERSIONS:
        known = ", ".join(VERSIONS)
        what = f"the configuration is of CNI version {_shown(version)}"
        raise Failure(INCOMPATIBLE_VERSION, what, f"sixlane knows {known}")
    return version


def check_network_name(config: Data) -> None:
    name = config.get("name")
    if not isinstance(name, str) or not _is_name(name):
        hint = "letters, digits, _ . - are allowed, and it begins with a letter or a digit"
        raise Failure(INVALID_CONFIGURATION, f"name is {_shown(name)}", hint)


def socket_of(config: Data) -> str:
    path = config.get("socket", SOCKET)
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or not _is_text(path):
        raise Failure(INVALID_CONFIGURATION, f"socket is {_shown(path)}", f"such as {SOCKET}")
    if len(os.fsencode(path)) > _MOST_PATH_BYTES:
        hint = f"at most {_MOST_PATH_BYTES} bytes"
        raise Failure(INVALID_CONFIGURATION, f"socket is {_shown(path)}", hint)
    return path


def timeout_of(config: Data) -> float:
    seconds = config.get("timeoutSeconds", TIMEOUT_S)
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= _MOST_TIMEOUT_S:
        what, hint = f"timeoutSeconds is {_shown(seconds)}", f"at most {_MOST_TIMEOUT_S:g}"
        raise Failure(INVALID_CONFIGURATION, what, hint)
    return float(seconds)


def valid_attachments(config: Data) -> list[Data]:
    """Those that stay, of a GC. The second name is the one that an early text of 1.1.0 had.

    A list that is absent is not an empty one: it must not cost each pod its network.
    """
    names = ("cni.dev/valid-attachments", "cni.dev/attachments")
    name = next((name for name in names if name in config), None)
    if name is None:
        raise Failure(INVALID_CONFIGURATION, f"{names[0]} is missing")
    found = config[name]
    found = [] if found is None else found  # an empty list, as Go may write it
    if not isinstance(found, list):
        raise Failure(INVALID_CONFIGURATION, f"{name} is {_shown(found)}, not a list")
    return [_attachment(one, f"{name}[{at}]") for at, one in enumerate(found)]


def _attachment(one: object, where: str) -> Data:
    if isinstance(one, dict):
        container, ifname = one.get("containerID"), one.get("ifname")
        if isinstance(container, str) and isinstance(ifname, str):
            return {"containerID": container, "ifname": ifname}
    raise Failure(INVALID_CONFIGURATION, f"{where} has not containerID and ifname as text")


# Results (specification, section 5). An answer of the agent's is of version 1.1.0.


def check_result(result: object, what: str, code: int) -> None:
    """Raises `Failure` with `code` where a member is not of the type that it must be."""
    if not isinstance(result, dict):
        raise Failure(code, f"{what} is not a JSON object")
    for member in ("interfaces", "ips", "routes"):
        items = result.get(member)
        if items is None:
            continue
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Failure(code, f"{what}: {member} is not a list of objects")
    interfaces = len(result.get("interfaces") or ())
    for ip in result.get("ips") or ():
        index = ip.get("interface")
        if not isinstance(ip.get("address"), str):
            raise Failure(code, f"{what}: ips has an item without an address")
        if index is not None and (type(index) is not int or not 0 <= index < interfaces):
            raise Failure(code, f"{what}: there is no interface {_shown(index)}")
    if not isinstance(result.get("dns") or {}, dict):
        raise Failure(code, f"{what}: dns is not an object")


def _check_free(call: Call, before: Data) -> None:
    """An earlier plugin of the list may have made other interfaces, but not this one."""
    ifname, netns = call.environment["CNI_IFNAME"], call.environment["CNI_NETNS"]
    for interface in before.get("interfaces") or ():
        if interface.get("name") == ifname and interface.get("sandbox") == netns:
            what = f"prevResult has {ifname} in {netns} already"
            hint = "sixlane makes the interface: it comes first in the list of plugins"
            raise Failure(INVALID_CONFIGURATION, what, hint)


def in_form_of(made: Data, version: str) -> Data:
    """A result of 1.1.0 as an older version has it."""
    if version == LATEST:
        return made
    interfaces = [_only(one, "name", "mac", "sandbox") for one in made.get("interfaces") or ()]
    routes = [_only(one, "dst", "gw") for one in made.get("routes") or ()]
    ips = made.get("ips") or []
    if version == "0.4.0":
        ips = [{"version": "6" if ":" in ip["address"] else "4", **ip} for ip in ips]
    return {**made, "interfaces": interfaces, "ips": ips, "routes": routes}


def _only(given: Data, *keys: str) -> Data:
    return {key: given[key] for key in keys if key in given}


def merged(before: Data, made: Data, version: str) -> Data:
    """What is printed: what earlier plugins have made, then ours. `made`: in the version's form."""
    interfaces = before.get("interfaces") or []
    ips = [
        {**ip, "interface": ip["interface"] + len(interfaces)}
        if ip.get("interface") is not None
        else ip
        for ip in made.get("ips") or ()
    ]
    return {
        **before,
        "cniVersion": version,
        "interfaces": [*interfaces, *(made.get("interfaces") or ())],
        "ips": [*(before.get("ips") or ()), *ips],
        "routes": [*(before.get("routes") or ()), *(made.get("routes") or ())],
        "dns": _merged_dns(before.get("dns") or {}, made.get("dns") or {}),
    }


def _merged_dns(before: Data, made: Data) -> Data:
    """Lists one behind the other; of the domain, the first."""
    dns = {**made, **before}
    for key, value in made.items():
        first = before.get(key)
        if isinstance(first, list) and isinstance(value, list):
            dns[key] = [*first, *(one for one in value if one not in first)]
    return dns


# The way to the agent: one request of HTTP/1.1, and the end of the connection ends the answer.


def exchange(path: str, route: str, body: Data, away: int) -> tuple[int, bytes]:
    """Status and body of the answer. `away`: the code where there is nobody, or no longer."""
    try:
        content = written_json(body).encode()
    except (ValueError, RecursionError) as error:  # such as 1e999, which Python reads as infinity
        what = "the configuration cannot be written as JSON again"
        raise Failure(DECODING_FAILURE, what, str(error)) from None
    head = (
        f"POST {route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
    except OSError as error:
        raise _not_reached(path, error, away) from None
    try:
        answer = _answer(connection, head.encode() + content)
    except OSError:
        answer = b""
    connection.close()
    return parse_answer(answer, path, away)


def _answer(connection: socket.socket, request: bytes) -> bytes:
    try:  # noqa: SIM105  contextlib takes time to import
        connection.sendall(request)
    except BrokenPipeError:  # refused half-way: the answer says why
        pass
    answer = b""
    while len(answer) <= _MOST_BYTES and (chunk := connection.recv(1 << 16)):
        answer += chunk
    return answer


def _not_reached(path: str, error: OSError, away: int) -> Failure:
    if isinstance(error, PermissionError):
        code = away if away == NOT_AVAILABLE else IO_FAILURE  # no later try mends it
        return Failure(code, f"no permission: {path}", "be root, or in the group sixlane")
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        what = f"the agent is not running: nobody listens on {path}"
        return Failure(away, what, "start sixlaned")
    return Failure(away, f"the agent cannot be reached: {path}: {error.strerror or error}")


def parse_answer(answer: bytes, path: str, away: int) -> tuple[int, bytes]:
    """Raises `Failure`: with `away` if the answer is not whole, as after the agent was killed."""
    head, end, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    words = first.split(b" ", 2)
    if answer and not (words[0].startswith(b"HTTP/1.") or b"HTTP/1.".startswith(words[0])):
        raise Failure(DECODING_FAILURE, f"who listens on {path} is not the agent")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)}
    length = headers.get(b"content-length", b"0")
    if not end or len(body) < _number(length):
        raise Failure(away, f"the agent ended while it was asked: {path}", "see its log")
    status = _number(words[1] if len(words) > 1 else b"")
    if not 200 <= status <= 599 or len(body) != _number(length):
        raise Failure(DECODING_FAILURE, f"who listens on {path} is not the agent")
    return status, body


def _number(digits: bytes) -> int:
    """-1 for what is none."""
    return int(digits) if digits.isdigit() and len(digits) < 10 else -1


def refusal(status: int, answer: bytes, away: int) -> Failure:
    """Of a problem as the agent tells it (RFC 9457), with the code that it names."""
    try:
        problem = parse_object(answer, "the agent's answer")
    except Failure:
        problem = {}
    code, detail, hint = (problem.get(key) for key in ("cniCode", "detail", "hint"))
    if type(code) is not int or not 0 < code < 1000:
        if problem.get("type") == "urn:sixlane:problem:no-such-path":
            return Failure(away, "the agent has no pod networking", "apply a Network")
        code = DEFECT
    message = detail if isinstance(detail, str) and detail else f"the agent says HTTP {status}"
    return Failure(code, message, hint if isinstance(hint, str) else "")


# JSON (RFC 8259).


class _Reading:
    """What `_json` is to know, as json's decoder tells it."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int

    @staticmethod
    def parse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")


def read_json(text: str) -> Any:
    """Raises ValueError and RecursionError."""
    if make_scanner is not None:
        space = " \t\n\r"
        try:
            value, end = make_scanner(_Reading)(text, len(text) - len(text.lstrip(space)))
            if not text[end:].strip(space):
                return value
        except (StopIteration, SystemError):  # the second: of its errors, half are json's own
            pass
    import json  # it knows how to say what is wrong

    return json.loads(text, parse_constant=_Reading.parse_constant)


def written_json(value: object) -> str:
    """In ASCII, on one line. Raises ValueError and RecursionError."""
    if make_encoder is not None:
        write = make_encoder(
            {}, _refuse, encode_basestring_ascii, None, ":", ",", False, False, False
        )
        return "".join(write(value, 0))
    import json

    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _refuse(value: object) -> NoReturn:
    raise ValueError(f"{value!r} is not of JSON")


# From start to end.


def limit(seconds: float, failure: Failure) -> None:
    """From now on there is so much time; then whatever is done ends with `failure`."""

    def end(*_: object) -> NoReturn:
        raise failure

    signal.signal(signal.SIGALRM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    signal.setitimer(signal.ITIMER_REAL, seconds)


def run(environment: Mapping[str, str]) -> tuple[int, Data | None]:
    """Exit status, and the object that is to be printed."""
    version = LATEST
    try:
        limit(TIMEOUT_S, Failure(IO_FAILURE, "the configuration does not come to its end"))
        command = environment.get("CNI_COMMAND", "")
        if command == "VERSION":
            return 0, {"cniVersion": _asked_version(), "supportedVersions": VERSIONS}
        if command not in _COMMANDS:
            what = f"CNI_COMMAND is {_shown(command)}"
            raise Failure(INVALID_ENVIRONMENT, what, f"known: VERSION, {', '.join(_COMMANDS)}")
        do, since, needed = _COMMANDS[command]
        config = parse_object(read_input(), "the configuration")
        version = version_of(config)
        check_environment(environment, needed)
        check_network_name(config)
        if _numbers(version) < _numbers(since):
            what = f"there is no {command} in CNI version {version}"
            raise Failure(INCOMPATIBLE_VERSION, what, f"it came with {since}")
        return 0, do(Call(environment, config, version))
    except Failure as failure:
        return 1, failure.as_data(version)
    except BaseException as error:  # whatever it is, a runtime reads JSON and nothing else
        return 1, Failure(DEFECT, f"a defect of sixlane: {error!r:.200}").as_data(version)


def _asked_version() -> str:
    """Of VERSION, whose input may be anything, and nothing in old versions."""
    limit(_VERSION_INPUT_S, Failure(IO_FAILURE, "the input does not come to its end"))
    try:
        config = {} if os.isatty(0) else parse_object(read_input(), "the input")
        return version_of(config)
    except Failure:
        return LATEST


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))


def main() -> NoReturn:
    try:
        code, told = run(os.environ)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Failure as failure:  # the time was over between two lines of `run`
        code, told = 1, failure.as_data(LATEST)
    text = b"" if told is None else written_json(told).encode() + b"\n"
    try:
        while text:
            text = text[os.write(1, text) :]
    except OSError:  # nobody reads it any more
        code = 1
    os._exit(code)  # the interpreter need not clean up: a runtime waits for each millisecond


if __name__ == "__main__":
    main()
