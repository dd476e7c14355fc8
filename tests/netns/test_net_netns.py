# SPDX-License-Identifier: Apache-2.0
"""Network namespaces: the same as `ip netns`, and one thread's business only."""

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from sixlane.errors import ConfigError, SixlaneError
from sixlane.net import netns
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root]


def _here() -> int:
    return os.stat("/proc/thread-self/ns/net").st_ino


def test_what_we_create_ip_netns_knows() -> None:
    with spaces.new() as name:
        assert netns.exists(name)
        assert name in netns.names()
        assert {"name": name} in spaces.ip("netns", "list")
        assert [link["ifname"] for link in spaces.ip("-n", name, "link")] == ["lo"]
        spaces.command("ip", "netns", "exec", name, "true")
    assert not netns.exists(name)
    assert name not in netns.names()


def test_what_ip_netns_adds_we_enter_and_remove() -> None:
    name = f"sixlane-test-{os.getpid()}-ip"
    spaces.command("ip", "netns", "add", name)
    before = _here()
    try:
        with netns.inside(name):
            assert _here() == os.stat(netns.DIRECTORY / name).st_ino != before
    finally:
        netns.remove(name)
    assert not netns.exists(name)


def test_creating_one_leaves_the_thread_where_it_was() -> None:
    before = _here()
    with spaces.new():
        assert _here() == before


def test_a_second_of_the_same_name_is_refused() -> None:
    with spaces.new() as name:
        inode = os.stat(netns.DIRECTORY / name).st_ino
        with pytest.raises(ConfigError, match=f"{name} exists"):
            netns.create(name)
        assert os.stat(netns.DIRECTORY / name).st_ino == inode


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "x" * 256])
@pytest.mark.parametrize("call", [netns.create, netns.remove, netns.exists, netns.pids])
def test_names_that_are_no_file_names_are_refused(call: Callable[[str], object], name: str) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        call(name)


def test_the_missing_is_named_and_those_there_are_listed() -> None:
    with spaces.new() as name:
        for call in (netns.remove, netns.pids, netns.open_fd):
            with pytest.raises(ConfigError, match="no network namespace nowhere") as caught:
                call("nowhere")
            assert name in caught.value.hint
        with pytest.raises(ConfigError, match="nowhere"), netns.inside("nowhere"):
            pytest.fail("entered a namespace that does not exist")
        netns.remove("nowhere", missing_ok=True)


def test_inside_moves_no_other_thread() -> None:
    asked: queue.Queue[bool] = queue.Queue()
    answered: queue.Queue[int] = queue.Queue()

    def other() -> None:
        while asked.get():
            answered.put(_here())

    thread = threading.Thread(target=other)
    thread.start()
    try:
        with spaces.new() as name:
            before = _here()
            with netns.inside(name):
                assert _here() != before
                asked.put(True)
                assert answered.get(timeout=5) == before
    finally:
        asked.put(False)
        thread.join()


def test_inside_comes_back_from_nesting_and_from_errors() -> None:
    with spaces.new() as outer, spaces.new() as inner:
        before = _here()
        with netns.inside(outer):
            there = _here()
            with pytest.raises(ZeroDivisionError), netns.inside(inner):
                assert _here() not in (there, before)
                raise ZeroDivisionError
            assert _here() == there
            with netns.inside(None):
                assert _here() == there
        assert _here() == before


def test_inside_leaves_the_mounts_alone() -> None:
    before = os.stat("/proc/thread-self/ns/mnt").st_ino
    with spaces.inside_new():
        assert os.stat("/proc/thread-self/ns/mnt").st_ino == before


def test_popen_starts_the_program_itself_there_in_a_session_of_its_own() -> None:
    with spaces.new() as name:
        before = _here()
        with netns.popen(name, ["sleep", "60"]) as process:
            try:
                assert _here() == before
                assert netns.pids(name) == [process.pid]
                assert os.getsid(process.pid) == process.pid
                assert os.stat(f"/proc/{process.pid}/ns/net").st_ino != before
            finally:
                process.kill()
        assert netns.pids(name) == []


def test_a_program_that_is_not_there_is_named() -> None:
    with spaces.new() as name, pytest.raises(ConfigError, match="no-such-program"):
        netns.popen(name, ["no-such-program"])


def test_run_gives_input_and_environment_and_returns_the_output() -> None:
    with spaces.new() as name:
        done = netns.run(name, ["sh", "-c", "cat; echo $WORD"], input="a\n", env={"WORD": "b"})
        assert done.stdout == "a\nb\n"
        assert netns.run(name, ["ip", "-br", "link"]).stdout.startswith("lo ")
        assert netns.run(name, ["cat"]).stdout == ""


def test_run_tells_the_last_line_of_a_failure() -> None:
    script = ["sh", "-c", "echo first >&2; echo second >&2; exit 3"]
    with pytest.raises(SixlaneError, match=r"exit code 3: second$"):
        netns.run(None, script)
    assert netns.run(None, script, check=False).returncode == 3


def test_run_ends_what_takes_too_long_with_its_children() -> None:
    with spaces.new() as name:
        started = time.monotonic()
        with pytest.raises(SixlaneError, match=r"not done after 0\.2 s"):
            netns.run(name, ["sh", "-c", "sleep 60 & sleep 60"], timeout=0.2)
        assert time.monotonic() - started < 5
        while netns.pids(name):
            assert time.monotonic() - started < 5
            time.sleep(0.01)


def test_a_name_that_was_left_half_made_can_be_removed() -> None:
    (netns.DIRECTORY / "half").touch()
    netns.remove("half")
    assert not netns.exists("half")


def test_the_namespace_lives_on_for_those_in_it() -> None:
    with spaces.new() as name:
        process = netns.popen(name, ["sleep", "60"], stdout=subprocess.DEVNULL)
        try:
            netns.remove(name)
            assert os.stat(f"/proc/{process.pid}/ns/net").st_ino != _here()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
