# SPDX-License-Identifier: Apache-2.0
"""Which build of the data path is taken."""

from pathlib import Path

import pytest

from sixlane.datapath.objects import UPLINK, object_path
from sixlane.errors import NotSupported


def test_another_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIXLANE_OBJECTS", str(tmp_path))
    with pytest.raises(NotSupported) as caught:  # never the other build instead
        object_path(UPLINK)
    assert str(tmp_path) in caught.value.hint
    (tmp_path / UPLINK).touch()
    assert object_path(UPLINK) == tmp_path / UPLINK
