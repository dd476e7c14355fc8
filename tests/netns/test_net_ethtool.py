# SPDX-License-Identifier: Apache-2.0
"""Device features: what we set is what `ethtool -k` shows."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sixlane.errors import ConfigError, NotSupported, SixlaneError
from sixlane.net import ethtool, link
from tests import needs
from tests.netns import spaces

pytestmark = [pytest.mark.netns, needs.root, needs.command("ethtool")]


@pytest.fixture(autouse=True)
def here() -> Iterator[str]:
    with spaces.inside_new() as name:
        link.create_veth("left", "right", up=True)
        yield name


def _shown() -> dict[str, Any]:
    shown: list[dict[str, Any]] = json.loads(spaces.command("ethtool", "--json", "-k", "left"))
    return shown[0]


def test_features_are_those_that_ethtool_shows() -> None:
    features = ethtool.features("left")
    # ethtool has words of its own for some, and sums up others: compare those without.
    same = {name for name in _shown() if name in features}
    assert {"tx-checksum-ip-generic", "rx-gro-list", "tx-tcp-segmentation"} <= same
    for name in same:
        seen = _shown()[name]
        assert (features[name].active, features[name].wanted) == (seen["active"], seen["requested"])
        assert features[name].changeable is not seen["fixed"]


@pytest.mark.parametrize(
    ("name", "shown_as"),
    [
        ("rx-gro", "generic-receive-offload"),
        ("rx-gro-list", "rx-gro-list"),
        ("tx-checksum-ip-generic", "tx-checksum-ip-generic"),
        ("tx-tcp-segmentation", "tx-tcp-segmentation"),
    ],
)
def test_a_feature_is_switched(name: str, shown_as: str) -> None:
    before = ethtool.get_feature("left", name)
    for on in (not before, before):
        ethtool.set_feature("left", name, on)
        assert _shown()[shown_as]["active"] is on
        assert ethtool.get_feature("left", name) is on


def test_several_are_switched_at_once() -> None:
    wanted = {"rx-gro": True, "rx-gro-list": True, "tx-udp-segmentation": False}
    ethtool.set_features("left", wanted)
    assert {name: ethtool.get_feature("left", name) for name in wanted} == wanted


def test_an_unknown_a_fixed_and_a_dependent_feature_are_told() -> None:
    with pytest.raises(NotSupported, match="device feature rx-teleport"):
        ethtool.set_feature("left", "rx-teleport", True)
    with pytest.raises(ConfigError, match="feature loopback of device left is fixed: off"):
        ethtool.set_feature("left", "loopback", True)
    ethtool.set_feature("left", "loopback", False)  # as it is
    ethtool.set_feature("left", "tx-checksum-ip-generic", False)
    with pytest.raises(SixlaneError, match=r"tx-tcp-segmentation on.*, but .* is off"):
        ethtool.set_feature("left", "tx-tcp-segmentation", True)
    with pytest.raises(ConfigError, match="no device wan0"):
        ethtool.features("wan0")
