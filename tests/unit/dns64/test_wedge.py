# SPDX-License-Identifier: Apache-2.0
"""A named is wedged when it has been silent on one of its addresses for some rounds in a row."""

from sixlane.dns64.wedge import PATIENCE, Asking, Wedged

HERE, THERE = ("2001:db8::1", 53), ("192.0.2.1", 53)
BOTH = {"cluster": (7, [HERE, THERE])}


def asking(silent: set[tuple[str, int]]) -> Asking:
    return Asking(lambda listener: listener not in silent)


def test_one_silent_address_is_enough() -> None:
    asker = asking({THERE})
    for _ in range(PATIENCE - 1):
        assert asker.round(BOTH) == []
    assert asker.round(BOTH) == [Wedged("cluster", 7, THERE)]
    assert "192.0.2.1 port 53" in str(Wedged("cluster", 7, THERE))


def test_an_answer_in_between_counts() -> None:
    silent = {HERE}
    asker = asking(silent)
    for _ in range(PATIENCE * 2):
        for _ in range(PATIENCE - 1):
            assert asker.round(BOTH) == []
        silent.clear()
        assert asker.round(BOTH) == []
        silent.add(HERE)


def test_a_new_process_begins_anew() -> None:
    asker = asking({HERE})
    for pid in range(1, 2 * PATIENCE):
        assert asker.round({"cluster": (pid, [HERE])}) == []


def test_one_that_is_no_longer_watched_is_forgotten() -> None:
    asker = asking({HERE})
    for _ in range(PATIENCE - 1):
        asker.round(BOTH)
    assert asker.round({}) == []
    assert asker.round(BOTH) == []
