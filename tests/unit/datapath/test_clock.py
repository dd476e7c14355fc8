# SPDX-License-Identifier: Apache-2.0
"""Ticks of flows, on kernels of each HZ that there is."""

import pytest

from sixlane.datapath import clock, services
from sixlane.datapath.layout import FlowCell
from sixlane.model.service import LONGEST_AFFINITY_S


@pytest.mark.parametrize("hz", [100, 250, 300, 1000])
def test_ticks_last_seconds_and_all_of_them_hours(monkeypatch: pytest.MonkeyPatch, hz: int) -> None:
    monkeypatch.setattr(clock, "jiffies_per_second", lambda: hz)
    monkeypatch.setattr(services, "jiffies_per_second", lambda: hz)
    tick_s = (1 << clock.flow_tick_shift()) / hz
    assert 4 <= tick_s <= 8
    for seconds in (1, 60, LONGEST_AFFINITY_S):
        ticks = services.ticks_of(seconds)
        assert seconds <= ticks * tick_s < seconds + tick_s, "rounded up, and not cut"
        assert ticks < FlowCell.FLOW_TICK_MASK
