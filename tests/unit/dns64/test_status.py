# SPDX-License-Identifier: Apache-2.0
"""How resolvers are told to be."""

import threading
from pathlib import Path

import pytest

from sixlane.dns64 import Place, dns64_status, process, status
from sixlane.model import Dns64, parse_resource


def resolver(name: str, *listen: str) -> Dns64:
    found = parse_resource(
        {
            "apiVersion": "sixlane.dev/v1alpha1",
            "kind": "Dns64",
            "metadata": {"name": name},
            "spec": {
                "listen": list(listen),
                "clients": ["2001:db8:64::/48"],
                "prefixes": [{"prefix": "64:ff9b::/96"}],
            },
        }
    )
    assert isinstance(found, Dns64)
    return found


def test_silent_addresses_are_waited_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An apply and every status wait for them: half a second each would add up."""
    together = threading.Barrier(5)

    def silent(address: str, port: int) -> None:
        together.wait(10)  # raises if one is asked only behind another

    monkeypatch.setattr(status, "answered_server_id", silent)
    monkeypatch.setattr(process, "find", lambda _: 1)
    addresses = [f"2001:db8:64::{number}" for number in range(1, 6)]
    resources = [resolver("one", *addresses[:3]), resolver("two", *addresses[3:])]
    told = dns64_status(resources, Place(tmp_path, tmp_path))
    assert [(one["name"], one["state"]) for one in told] == [("one", "silent"), ("two", "silent")]
    assert told[1]["listen"] == [
        {"address": address, "port": 53, "answers": False} for address in addresses[3:]
    ]
