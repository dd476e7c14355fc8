# SPDX-License-Identifier: Apache-2.0
"""Carry out a plan for the resolvers."""

import errno
import os
import socket
import subprocess
import time
from dataclasses import replace

from sixlane.dns64 import process
from sixlane.dns64.conf import checkable, server_id
from sixlane.dns64.place import Place
from sixlane.dns64.plan import Action, Change, Plan
from sixlane.dns64.query import answered_server_id
from sixlane.dns64.supervisor import Supervisor, remove_directory
from sixlane.errors import KernelError, SixlaneError
from sixlane.model import ResourceError

_READY_S = 10.0
_ADDRESS_S = 2.0  # how long a new IPv6 address may be looked for on the link (RFC 4862 5.4)
_POLL_S = 0.03


def check_dns64(plan: Plan) -> Plan:
    """See before anything is changed that it can be: BIND is there and takes the configuration,
    the addresses are this machine's, and nobody else listens on them.

    Raises `NotSupported` and `ResourceError` for what is required; the rest is left out.
    """
    changes, refused = [], dict(plan.refused)
    for change in plan.changes:
        try:
            if change.action is not Action.STOP:
                _check(change, plan)
        except SixlaneError as error:
            if change.required:
                raise
            refused[change.name] = str(error)
        else:
            changes.append(change)
    return replace(plan, changes=tuple(changes), refused=refused)


def is_local(address: str) -> bool:
    """Whether this machine has an address, one that is still being looked for on the link apart."""
    error = _bind(address, 0, socket.SOCK_DGRAM)
    return error is None or error.errno != errno.EADDRNOTAVAIL


def apply_dns64(plan: Plan, place: Place, supervisor: Supervisor) -> dict[str, str]:
    """Make the changes; returns when each resolver answers with its new configuration.

    Raises `SixlaneError` if a required one does not; it is left as it is, for the log to be read.
    What failed and was not required is returned by name.
    """
    failed = {}
    for change in plan.changes:
        try:
            _make(change, place, supervisor)
        except SixlaneError as error:
            if change.required:
                raise
            failed[change.name] = str(error)
    return failed


def _make(change: Change, place: Place, supervisor: Supervisor) -> None:
    if change.action in (Action.STOP, Action.RESTART):
        supervisor.stop(change.name, process.find(place.configuration(change.name)))
    if change.action is Action.STOP:
        supervisor.forget(change.name, place)
        remove_directory(place.configuration(change.name).parent)
        return
    _write(place, change)
    if change.action is Action.RELOAD:
        _reload(place, change, supervisor)
    else:
        _start(place, change, supervisor)


def _check(change: Change, plan: Plan) -> None:
    process.program("named")
    _check_configuration(change)
    for address, port in sorted(change.listeners - plan.held):
        _check_listener(change.name, address, port)


def _check_configuration(change: Change) -> None:
    done = subprocess.run(
        [process.program("named-checkconf"), "/dev/stdin"],
        input=checkable(change.text),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout.strip() or done.stderr.strip()).splitlines()
        raise ResourceError(
            f"BIND does not take the configuration: {said[0] if said else '?'}",
            where=f"Dns64 {change.name}",
        )


def _check_listener(name: str, address: str, port: int) -> None:
    deadline = time.monotonic() + _ADDRESS_S
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        while (error := _bind(address, port, kind)) is not None:
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > deadline:
                raise _cannot_listen(name, address, port, error)
            time.sleep(_POLL_S)


def _bind(address: str, port: int, kind: socket.SocketKind) -> OSError | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:  # closed connections of a named before it do not matter
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as error:
        return error
    return None


def _cannot_listen(name: str, address: str, port: int, error: OSError) -> SixlaneError:
    if error.errno == errno.EADDRNOTAVAIL:
        return ResourceError(
            f"{address} is not an address of this machine",
            ("spec", "listen"),
            f"ip address add {address} dev DEVICE",
            where=f"Dns64 {name}",
        )
    if error.errno == errno.EADDRINUSE:
        return ResourceError(
            f"port {port} of {address} is taken by another program",
            ("spec", "listen"),
            f"see which: ss -lunpt sport = :{port}",
            where=f"Dns64 {name}",
        )
    return KernelError(error.errno or 0, f"Dns64 {name}: listen on {address} port {port}")


def _write(place: Place, change: Change) -> None:
    """Put the configuration in place at once: named never reads half of it."""
    path = place.configuration(change.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(change.text)
        new.chmod(0o644)
        os.replace(new, path)
    except OSError as error:
        raise KernelError(error.errno or 0, f"write {path}") from error


def _start(place: Place, change: Change, supervisor: Supervisor) -> None:
    _await(place, change, supervisor.start(change.name, place))


def _reload(place: Place, change: Change, supervisor: Supervisor) -> None:
    pid = process.find(place.configuration(change.name))
    if pid is None:  # it has just ended
        _start(place, change, supervisor)
        return
    supervisor.reload(change.name, pid)
    _await(place, change, pid)


def _await(place: Place, change: Change, pid: int) -> None:
    """Until it answers on each address with its new configuration."""
    wanted, waiting = server_id(change.text), sorted(change.listeners)
    deadline = time.monotonic() + _READY_S
    while waiting:
        address, port = waiting[0]
        if answered_server_id(address, port, _POLL_S * 10) == wanted:
            waiting.pop(0)
            continue
        if process.has_ended(pid):
            raise _failed(place, change, "named ended at once")
        if time.monotonic() > deadline:
            raise _failed(
                place,
                change,
                f"named does not answer on {address} port {port} after {_READY_S:g} s",
            )
        time.sleep(_POLL_S)


def _failed(place: Place, change: Change, what: str) -> SixlaneError:
    log = place.log(change.name)
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    said = [line for line in lines[-50:] if " error: " in line or " critical: " in line][-1:]
    return SixlaneError(f"Dns64 {change.name}: {what}", said[0] if said else f"see {log}")
