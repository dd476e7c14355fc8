# SPDX-License-Identifier: Apache-2.0
"""Since when something is so, and when a resource is ready."""

import pytest

from sixlane.agent.conditions import UNKNOWN, Condition, dated, readiness, rfc3339

ATTACHED = Condition("DevicesAttached", "True", "Attached")
DETACHED = Condition("DevicesAttached", "False", "Absent", "device lan0 is not there")
SLOW = Condition("NextHopsRemembered", "False", "PolicyRules", "a rule", needed=False)
UNSEEN = Condition("Answering", "Unknown", "NotAsked")


@pytest.mark.parametrize(
    ("found", "observed", "problem", "ready"),
    [
        ([ATTACHED], 2, None, ("True", "InForce", "")),
        ([ATTACHED, SLOW], 2, None, ("True", "InForce", "")),
        ([], 2, None, ("True", "InForce", "")),
        ([ATTACHED, DETACHED], 2, None, ("False", "Absent", "device lan0 is not there")),
        ([UNSEEN, DETACHED], 2, None, ("False", "Absent", "device lan0 is not there")),
        ([UNSEEN, ATTACHED], 2, None, ("Unknown", "NotAsked", "")),
        ([ATTACHED], 1, None, ("False", "Pending", "it is about to be put in force")),
        ([ATTACHED], 2, "attach: EIO", ("False", "NotInForce", "attach: EIO")),
    ],
)
def test_ready(
    found: list[Condition], observed: int, problem: str | None, ready: tuple[str, str, str]
) -> None:
    told = readiness(found, 2, observed, problem)
    assert (told.status, told.reason, told.message) == ready


def test_the_time_moves_only_when_the_status_does() -> None:
    first = dated(UNKNOWN, [ATTACHED, SLOW], 1, 1000.0)
    assert dated(first, [ATTACHED, SLOW], 1, 1001.0) is first
    second = dated(first, [ATTACHED, SLOW], 2, 1002.0)
    assert [one.since_s for one in second.conditions] == [1000, 1000]
    assert [one.observed_generation for one in second.conditions] == [2, 2]
    third = dated(second, [DETACHED, SLOW], 2, 1003.0)
    assert [one.since_s for one in third.conditions] == [1003, 1000]
    other = Condition("DevicesAttached", "False", "Down", "device lan0 is down")
    assert dated(third, [other, SLOW], 2, 1004.0).conditions[0].since_s == 1003


def test_as_data() -> None:
    standing = dated(UNKNOWN, [DETACHED], 3, 1763842020.9)
    assert standing.as_data() == {
        "observedGeneration": 3,
        "conditions": [
            {
                "type": "DevicesAttached",
                "status": "False",
                "reason": "Absent",
                "message": "device lan0 is not there",
                "lastTransitionTime": "2025-11-22T20:07:00Z",
                "observedGeneration": 3,
            }
        ],
    }
    assert not standing.ready


def test_times_are_utc_whatever_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
