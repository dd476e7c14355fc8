# SPDX-License-Identifier: Apache-2.0
"""healthCheck of a Service: what is read, and what is refused, in one line."""

from typing import Any

import pytest

from sixlane.model import HealthCheck, ResourceError, Service, parse_resource
from sixlane.model.problem import path_text


def with_check(check: Any) -> dict[str, Any]:
    return {
        "apiVersion": "sixlane.dev/v1alpha1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"frontends": [{"address": "192.0.2.1", "port": 80}], "healthCheck": check},
    }


def parse(**check: Any) -> HealthCheck:
    service = parse_resource(with_check(check))
    assert isinstance(service, Service)
    assert parse_resource(service.as_data()) == service
    assert service.spec.health_check is not None
    return service.spec.health_check


@pytest.mark.parametrize("type", ["tcp", "http", "https", "grpc", "icmp"])
def test_defaults(type: str) -> None:
    check = parse(type=type)
    assert (check.type, check.port, check.path, check.host) == (type, None, "/", None)
    assert check.expected_status == (200, 399)
    assert (check.interval_seconds, check.timeout_seconds) == (5, 1)
    assert (check.rise, check.fall) == (2, 3)


@pytest.mark.parametrize(
    "host", ["www.example.net", "www.example.net:8443", "192.0.2.7", "[2001:db8::7]", "a"]
)
def test_what_is_given(host: str) -> None:
    check = parse(
        type="https",
        port=8443,
        path="/healthz?deep=1",
        host=host,
        expectedStatus="204",
        intervalSeconds=1,
        timeoutSeconds=1,
        rise=1,
        fall=100,
    )
    assert (check.port, check.path, check.host) == (8443, "/healthz?deep=1", host)
    assert check.expected_status == (204, 204)
    assert parse(type="http", expectedStatus=204).expected_status == (204, 204)
    assert (check.interval_seconds, check.rise, check.fall) == (1, 1, 100)


def test_none() -> None:
    service = parse_resource(with_check(None))
    assert isinstance(service, Service) and service.spec.health_check is None


BAD = [
    # check, what, where, hint
    ({}, "type is missing", "healthCheck", ""),
    ("tcp", "tcp is not a mapping", "healthCheck", ""),
    ({"type": "udp"}, "udp is not known here", "healthCheck.type", "known: grpc, http"),
    ({"type": "tcp", "interval": 5}, "unknown key interval", "healthCheck.interval", "Seconds"),
    ({"type": "icmp", "port": 7}, "port has no meaning with type icmp", "healthCheck.port", "tcp"),
    (
        {"type": "tcp", "path": "/"},
        "path has no meaning with type tcp",
        "healthCheck.path",
        "of http, https",
    ),
    (
        {"type": "grpc", "expectedStatus": "200"},
        "expectedStatus has no meaning with type grpc",
        "healthCheck.expectedStatus",
        "of http, https",
    ),
    ({"type": "tcp", "host": "a"}, "host has no meaning", "healthCheck.host", "http, https, grpc"),
    ({"type": "tcp", "port": 0}, "0 is too small", "healthCheck.port", "at least 1"),
    ({"type": "http", "path": "healthz"}, "healthz is no path", "healthCheck.path", "/healthz"),
    *(
        ({"type": "http", "path": path}, "is no path", "healthCheck.path", "/healthz")
        for path in ("", "/a b", "/a\r\nHost: x", "/\u00e9", "/" + 1024 * "a")
    ),
    *(
        ({"type": "http", "host": host}, "is no name of a host", "healthCheck.host", "www")
        for host in ("", "a b", "a\r\nX: y", "-a", "a.", 256 * "a", "a:b")
    ),
    *(
        (
            {"type": "http", "expectedStatus": status},
            "is no range of statuses",
            "healthCheck.expectedStatus",
            "200-399",
        )
        for status in ("99", "600", "200-", "2xx", "200-600", True, None, [200], 2000)
    ),
    (
        {"type": "http", "expectedStatus": "399-200"},
        "399-200 begins behind its end",
        "healthCheck.expectedStatus",
        "did you mean 200-399?",
    ),
    ({"type": "tcp", "intervalSeconds": 0}, "0 is too small", "healthCheck.intervalSeconds", "1"),
    (
        {"type": "tcp", "intervalSeconds": 3, "timeoutSeconds": 4},
        "4 is longer than the interval of 3",
        "healthCheck.timeoutSeconds",
        "intervalSeconds",
    ),
    ({"type": "tcp", "rise": 0}, "0 is too small", "healthCheck.rise", "at least 1"),
    ({"type": "tcp", "fall": 101}, "101 is too large", "healthCheck.fall", "at most 100"),
]


@pytest.mark.parametrize(("check", "what", "where", "hint"), BAD)
def test_refused(check: Any, what: str, where: str, hint: str) -> None:
    with pytest.raises(ResourceError) as caught:
        parse_resource(with_check(check))
    error = caught.value
    assert "\n" not in str(error)
    assert what in error.what
    assert path_text(error.path) == f"spec.{where}"
    assert hint in error.hint
