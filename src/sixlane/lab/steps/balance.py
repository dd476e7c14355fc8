# SPDX-License-Identifier: Apache-2.0
"""What becomes of requests while backends and gateways come and go: all of them are counted."""

import json
import shlex
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sixlane.lab import balance, gateway, load, programs
from sixlane.lab.balanced import (
    BACKENDS,
    CLUSTERS,
    CLUSTERS4,
    DEVICE,
    GATEWAYS,
    VISITOR,
    VISITOR4,
    WEB4,
    WEB6,
)
from sixlane.lab.session import Seen, Session, StepFailedError
from sixlane.lab.steps import web
from sixlane.lab.topology import embed
from sixlane.net import link, netns

CHECK = {"type": "http", "intervalSeconds": 1, "timeoutSeconds": 1, "rise": 1, "fall": 2}
_BOUND_S = 30
_PATIENCE_S = 20.0
_SIGMAS = 5


@dataclass
class Load:
    """What visitors counted, once the block has ended. `new`: those with a connection for each
    request; `kept`: those with one for all of theirs."""

    new: dict[str, Any] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)

    def lines(self) -> str:
        """For whoever watches."""
        return "\n".join(
            f"{name}: {count['requests']} requests ({_told(count['answers'])}), "
            f"{sum(count['failures'].values())} failed, slowest {count['slowestMs']:.0f} ms"
            for name, count in (("new connections", self.new), ("kept connections", self.kept))
            if count["requests"]
        )

    @property
    def requests(self) -> int:
        return int(self.new["requests"] + self.kept["requests"])

    @property
    def failures(self) -> int:
        return sum(sum(count["failures"].values()) for count in (self.new, self.kept))


def shares(session: Session) -> Seen:
    """Over both gateways, which choose alike."""
    before = _balanced(session)
    with _loaded(session, WEB4, new=8) as seen:
        time.sleep(2)
    used = {name: count - before[name] for name, count in _balanced(session).items()}
    _need_no_failure(seen)
    need_shares(seen.new["answers"], BACKENDS)
    _need(all(used.values()), f"packets through the gateways: {used}")
    return Seen(f"{_told(seen.new['answers'])} of {seen.requests} requests; none failed")


def drained(session: Session) -> Seen:
    """Its connections go on, and no new one comes to it."""
    host = "back1"
    with _loaded(session, WEB6, new=4, kept=16) as seen:
        time.sleep(1)
        with (
            balance.drained(session.place, session.narrator, host),
            _loaded(session, WEB6, new=4) as after,
        ):
            time.sleep(2)
            left = _connections(session, host)
            flows = balance.flows_of(session.place, session.narrator, host)
    _need_no_failure(seen)
    _need_no_failure(after)
    _need(not seen.kept["moved"], f"{seen.kept['moved']} connections moved")
    _need(0 < left <= flows, f"{host} has {left} connections, and the gateways know of {flows}")
    _need(host not in after.new["answers"], f"{host} got {after.new['answers']}")
    return Seen(
        f"{seen.requests + after.requests} requests, none failed; {host} goes on with "
        f"{left} connections, and gets no new one; the gateways remember {flows} flows, "
        "closed ones too"
    )


def killed(session: Session) -> Seen:
    """Until somebody says so, its share of requests fails; then none does."""
    place, host = session.place, "back2"
    with _loaded(session, WEB4, new=8) as seen:
        time.sleep(0.5)
        _kill_server(session, host)
        time.sleep(0.5)
        with balance.changed_backend(place, session.narrator, host, state="maintenance"):
            with _loaded(session, WEB4, new=8) as after:
                time.sleep(1.5)
            balance.serve(place, host)
    _need(seen.failures > 0, "no request failed, and its server was dead")
    _need_no_failure(after)
    return Seen(
        f"{seen.failures} of {seen.requests} requests failed until it was taken out, "
        f"and then none of {after.requests}"
    )


def found_dead(session: Session) -> Seen:
    """With health checks nobody has to say so."""
    place, narrator, host = session.place, session.narrator, "back3"
    with balance.changed_web(place, narrator, healthCheck=CHECK):
        checkers = [gateway.start_health(place.at(name), narrator) for name in GATEWAYS]
        with _loaded(session, WEB4, new=8) as seen:
            time.sleep(0.5)
            _kill_server(session, host)
            killed = time.monotonic()
            _await_up(session, 2)
            took = time.monotonic() - killed
            with _loaded(session, WEB4, new=8) as after:
                time.sleep(1.5)
        balance.serve(place, host)
        _await_up(session, 3)
        programs.end_all(checkers)
    _need_no_failure(after)
    return Seen(
        f"{seen.failures} of {seen.requests} requests failed in {took:.1f} s until its checks had "
        f"failed {CHECK['fall']} times, then none of {after.requests}; it is back by itself"
    )


def clusters(session: Session) -> Seen:
    """By IPv4, to IPv6 addresses of clusters, which see who asks."""
    page = web.fetch(session, VISITOR, f"http://{CLUSTERS4}/")
    web.check_page(session, page, "cluster", source=embed(VISITOR4))
    with _loaded(session, CLUSTERS4, new=8) as seen:
        time.sleep(2)
    _need_no_failure(seen)
    need_shares(seen.new["answers"], CLUSTERS)
    return Seen(
        f"{_told(seen.new['answers'])} of {seen.requests} requests; they saw {embed(VISITOR4)}",
        web.round_trip_ms(page),
    )


def gateway_killed(session: Session) -> Seen:
    """Without its agent it goes on; without its link, the other one does what it did."""
    name, other = GATEWAYS
    place = session.place.at(name)
    before = _balanced(session)
    with _loaded(session, WEB4, new=8, kept=12) as seen:
        time.sleep(0.5)
        pid = gateway.agent(place)
        session.narrator.command(f"kill -9 {pid}    # the sixlaned of {name}")
        programs.kill(pid)
        with _loaded(session, WEB4, new=8) as alone:
            time.sleep(1)
        session.narrator.command(f"ip -n {place.namespace(name)} link set {DEVICE} down")
        with netns.inside(place.namespace(name)):
            link.set_down(DEVICE)
        time.sleep(2.5)
        gateway.start(place, session.narrator)
    used = {name: count - before[name] for name, count in _balanced(session).items()}
    _need_no_failure(alone)
    _need_no_failure(seen)
    _need(not seen.kept["moved"], f"{seen.kept['moved']} connections moved to another backend")
    _need(0 < used[name] < used[other], f"packets through the gateways: {used}")
    slowest = max(seen.new["slowestMs"], seen.kept["slowestMs"])
    return Seen(
        f"agent killed: {alone.requests} requests, none failed; device down: {seen.failures} of "
        f"{seen.requests} failed, the slowest took {slowest:.0f} ms, "
        f"{len(seen.kept['answers'])} backends kept their connections"
    )


def need_shares(answers: Mapping[str, int], weights: Mapping[str, int]) -> None:
    """As many as a fair draw would give each, within what chance does to it."""
    total, whole = sum(answers.values()), sum(weights.values())
    for host, weight in weights.items():
        share = weight / whole
        deviation = (total * share * (1 - share)) ** 0.5
        off = abs(answers.get(host, 0) - total * share)
        _need(off <= _SIGMAS * deviation, f"{_told(answers)} is not as {dict(weights)}")


@contextmanager
def _loaded(session: Session, vip: str, *, new: int, kept: int = 0) -> Iterator[Load]:
    """Requests for as long as the block lasts."""
    script = [*programs.python(load.__file__), vip, str(_BOUND_S), str(new), str(kept)]
    argv = programs.on_host(session.place, VISITOR, script)
    session.narrator.command(f"{shlex.join(argv)} &")
    seen = Load()
    with programs.running(argv) as process:
        assert process.stdout is not None
        _need(load.READY in process.stdout.readline(), "no load began")
        yield seen
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=10)
    _need(process.returncode == 0, f"the load ended early: {errors.strip()}")
    counted = json.loads(out)
    seen.new, seen.kept = counted["new"], counted["kept"]
    session.narrator.output(seen.lines())


def _await_up(session: Session, count: int) -> None:
    """So many of three backends get new flows, as both gateways have it."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        told = balance.backends_up(session.place)
        if all(one.startswith(f"{count} of 3 get new flows") for one in told):
            break
        _need(time.monotonic() < deadline, f"the gateways say: {told}")
    for name, one in zip(GATEWAYS, told, strict=True):
        session.narrator.output(f"{name}: {one}")


def _connections(session: Session, host: str) -> int:
    """That are open there."""
    filters = ["state", "established", "sport", "=", f":{load.PORT}"]
    return len(session.run_ok(host, ["ss", "-Hnt", *filters]).out.splitlines())


def _kill_server(session: Session, host: str) -> None:
    pids = netns.pids(session.place.namespace(host))
    session.narrator.command(f"kill -9 {shlex.join(map(str, pids))}    # what serves on {host}")
    for pid in pids:
        programs.kill(pid)


def _balanced(session: Session) -> dict[str, int]:
    return {name: gateway.read_counts(session.place.at(name)).balanced for name in GATEWAYS}


def _need_no_failure(seen: Load) -> None:
    failures = Counter(seen.new["failures"]) + Counter(seen.kept["failures"])
    _need(not failures, f"of {seen.requests} requests failed: {dict(failures)}")


def _need(holds: object, otherwise: str) -> None:
    if not holds:
        raise StepFailedError(otherwise)


def _told(answers: Mapping[str, int]) -> str:
    return ", ".join(f"{host} {count}" for host, count in sorted(answers.items()))
