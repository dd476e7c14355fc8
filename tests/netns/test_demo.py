# SPDX-License-Identifier: Apache-2.0
"""The demo as people run it, and what becomes of the machine however it ends."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sixlane.errors import SixlaneError
from sixlane.lab import demo, gateway, lab
from sixlane.lab.balanced import BALANCED, GATEWAYS
from sixlane.lab.cluster import CLUSTER, NODE
from sixlane.lab.place import Place
from sixlane.lab.session import Seen, Session
from sixlane.lab.steps import BALANCED_STEPS, POD_STEPS, STEPS, Step
from sixlane.lab.topology import LAB
from tests.netns.labs import needs_lab, traces

pytestmark = needs_lab

# What the demo shows while it raises hosts, when sixlaned starts, and in the midst of its steps.
MOMENTS = ["Raising", "sixlaned", "Traceroute"]
ENDINGS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
INTERRUPTED = [
    pytest.param(at, ending, marks=[] if number == also else [pytest.mark.sweep])
    for number, at in enumerate(MOMENTS)
    for also, ending in enumerate(ENDINGS)
]


def test_demo_shows_every_step(place: Place) -> None:
    ran = _lab(place, "demo", timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    for number, step in enumerate(STEPS + BALANCED_STEPS + POD_STEPS, 1):
        assert ran.stdout.count(f"{number}. {step.title}") == 2  # as a heading, and in the table
    for word in ("round trip", "throughput", "Gbit/s", "1 ttl expired", "2 source not allowed"):
        assert word in ran.stdout
    assert traces(place) == []


def test_lab_that_is_kept_says_how_to_enter_it(place: Place) -> None:
    ran = _lab(place, "up")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for host in (*LAB.hosts, *BALANCED.hosts, *CLUSTER.hosts):
        assert f"ip netns exec {place.namespace(host.name)} bash" in ran.stdout
    by_hand = ["ip", "netns", "exec", place.namespace("pod2"), "curl", "-s", "http://v4only.test/"]
    page = subprocess.run(by_hand, capture_output=True, text=True, timeout=10)
    assert "IPv4-only page" in page.stdout
    for name in (*GATEWAYS, NODE):
        assert gateway.read_status(place.at(name))["problems"] == []

    assert _lab(place, "down").returncode == 0
    assert traces(place) == []


def test_failing_step_shows_its_output_and_the_counters(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(session: Session) -> Seen:
        session.run_ok("stranger", ["curl", "-sS", "-m", "2", "http://192.175.48.10/"])
        raise AssertionError("the stranger was served")

    monkeypatch.setattr(demo, "STEPS", (Step("A step that fails", refused),))
    assert not demo.run(place, keep=False, attach="auto")
    shown = capfd.readouterr().out
    assert "A step that fails: exit status 7" in shown
    assert "curl: (7)" in shown
    assert "drop_source_not_allowed" in shown
    assert traces(place) == []


@pytest.mark.parametrize(("at", "ending"), INTERRUPTED)
def test_interrupted_demo_leaves_nothing(place: Place, at: str, ending: signal.Signals) -> None:
    with _started(place, at) as running:
        running.send_signal(ending)
        _, errors = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "interrupted" in errors
    assert traces(place) == []


@pytest.mark.parametrize("at", MOMENTS)
def test_lab_is_raised_where_a_killed_one_was(place: Place, at: str) -> None:
    with _started(place, at) as running:
        running.kill()
    assert traces(place) != []
    ran = _lab(place, "up")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert gateway.read_status(place)["problems"] == []


def test_lab_in_use_is_refused(place: Place) -> None:
    with lab.held(place), pytest.raises(SixlaneError, match="in use"), lab.held(place):
        pass
    assert not place.lock.exists()


def test_wrong_prefix_is_one_line() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "sixlane.lab", "demo", "--prefix", "../x"],
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1


def _lab(place: Place, command: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "sixlane.lab", command, "--prefix", place.prefix]
    return subprocess.run(argv, capture_output=True, text=True, timeout=timeout)


@contextmanager
def _started(place: Place, at: str) -> Iterator[subprocess.Popen[str]]:
    """The demo, just when it shows `at`."""
    argv = [sys.executable, "-m", "sixlane.lab", "demo", "--prefix", place.prefix]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if at in line:
                break
        yield running
