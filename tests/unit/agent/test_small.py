# SPDX-License-Identifier: Apache-2.0
"""The applier's queue, its back-off, and the lock."""

import os
import resource
import shutil
import threading
import time
from pathlib import Path

import pytest

from sixlane.agent.applier import Applier
from sixlane.agent.backoff import Backoff
from sixlane.agent.lock import Held, only_one, only_one_in
from sixlane.agent.settings import Settings
from sixlane.agent.teardown import teardown_without_agent
from sixlane.errors import SixlaneError


def test_jobs_run_one_after_the_other_on_one_thread() -> None:
    applier = Applier()
    threads: list[int] = []
    futures = [applier.submit(lambda: threads.append(threading.get_ident())) for _ in range(20)]
    for future in futures:
        future.result(5)
    assert len(set(threads)) == 1
    with pytest.raises(ZeroDivisionError):
        applier.do(lambda: 1 / 0)
    assert applier.do(lambda: "still there") == "still there"
    applier.close()


def test_a_job_for_later() -> None:
    applier = Applier()
    ran = threading.Event()
    start = time.monotonic()
    applier.after(30, lambda: None)
    applier.after(0.1, ran.set)
    assert not ran.is_set()
    assert ran.wait(5)
    assert time.monotonic() - start >= 0.1
    applier.after(0, lambda: 1 / 0)  # nobody waits for it, and nobody dies of it
    assert applier.do(lambda: 7) == 7
    applier.close()


def test_closing_finishes_the_job_at_hand_and_cancels_the_rest() -> None:
    applier = Applier()
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> str:
        begun.set()
        go_on.wait(5)
        return "done"

    first, second = applier.submit(slow), applier.submit(lambda: "never")
    begun.wait(5)
    closing = threading.Thread(target=applier.close)
    closing.start()
    time.sleep(0.05)
    go_on.set()
    closing.join(5)
    assert first.result(5) == "done"
    assert second.cancelled()
    assert applier.submit(lambda: 1).cancelled()


def test_a_long_job_is_work_and_a_too_long_one_is_not() -> None:
    applier = Applier()
    applier.check()
    done = threading.Event()
    applier.submit(done.wait)
    applier.check(turn_s=0.01)
    with pytest.raises(SixlaneError, match="at one job for more than 0 s"):
        applier.check(turn_s=0.01, longest_job_s=0)
    done.set()
    applier.check(longest_job_s=0)
    applier.close()
    with pytest.raises(SixlaneError, match="has ended"):
        applier.check()


def test_the_back_off_doubles_up_to_half_a_minute_and_forgets() -> None:
    clock = [100.0]
    backoff = Backoff(lambda: clock[0])
    waits = []
    for _ in range(9):
        waits.append(backoff.next())
        clock[0] += waits[-1]
    assert waits == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    clock[0] += 59
    assert backoff.next() == 30
    clock[0] += 30 + 60
    assert backoff.next() == 0


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    message = rf"another sixlaned runs already \(pid {os.getpid()}\)"
    with (
        only_one(tmp_path / "lock"),
        pytest.raises(Held, match=message),
        only_one(tmp_path / "lock"),
    ):
        pass
    with only_one(tmp_path / "lock"):
        pass


def test_a_state_directory_has_one_agent_also_if_the_run_directory_is_gone(tmp_path: Path) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    run.mkdir()
    state.mkdir()
    settings = Settings(tmp_path / "pins", state, run)
    with only_one(settings.lock), only_one_in(state):
        shutil.rmtree(run)
        with pytest.raises(Held, match=f"another sixlaned works in {state} already"):
            teardown_without_agent(settings)
    with only_one_in(state), only_one_in(tmp_path / "none"):
        pass


def test_a_full_disk_does_not_keep_the_lock_from_being_held(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with (
            only_one(tmp_path / "lock"),
            pytest.raises(Held, match="pid unknown"),
            only_one(tmp_path / "lock"),
        ):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
