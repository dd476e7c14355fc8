# SPDX-License-Identifier: Apache-2.0
"""The API is what its OpenAPI document says, with a real sixlaned: schemathesis asks."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.parameters import ParameterLocation
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi import checks

from sixlane.api import openapi
from sixlane.datapath import Datapath
from sixlane.net import netns
from tests import needs
from tests.netns import agents, unix_http
from tests.netns.agents import GATEWAY, Agent

pytestmark = [pytest.mark.netns, needs.root, needs.bpf, needs.command("ip")]

STREAMS = ["watch", "watchDrops", "capture"]  # have no end that could be waited for; see test_watch
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.negative_data_rejection,
]
REFUSALS = [400, 404, 405, 409, 412, 413, 415, 422]
NAMES = {
    "name": "edge",
    "prefix": "pods",
    "ipv4": "192.175.48.8",
    "length": 30,
    "address": "10.0.0.8",
    "port": 8080,
}
SERVICE: dict[str, Any] = {
    "apiVersion": "sixlane.dev/v1alpha1",
    "kind": "Service",
    "metadata": {"name": "edge"},
    "spec": {
        "mode": "nat",
        "frontends": [{"address": "192.175.50.1", "port": 80}],
        "backends": [{"address": "10.0.0.8"}, {"address": "10.0.0.8", "port": 8080}],
        "sourcePool": ["10.1.0.8/30"],
    },
}

_RANDOM_ALONE = {"phases": {"coverage": {"enabled": False}}}


def asking(**more: Any) -> BaseSchema:
    """The document's operations but for streams, to be asked as schemathesis is configured."""
    config = {
        "seed": 64,
        "generation": {"max-examples": 5},
        "checks": {"negative_data_rejection": {"expected-statuses": REFUSALS}},
        **more,
    }
    document = schemathesis.openapi.from_dict(
        json.loads(openapi.text()), config=SchemathesisConfig.from_dict(config)
    )
    return document.exclude(operation_id=STREAMS)


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: Any) -> bytes:
    """Whatever is made up: text as it is."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="surrogatepass")


State = tuple[list[Any], int]


@dataclass
class Served:
    """A running agent with a gateway and a service, and a way to ask it."""

    agent: Agent
    session: requests.Session
    last: State | None = None  # the state after the case before this one; None: to be looked at

    def with_gateway(self) -> State:
        """The state, with both, which the case before this one may have deleted."""
        for place, resource in (("gateways", GATEWAY), ("services", SERVICE)):
            answer = self.session.put(f"{unix_http.BASE_URL}/v1/{place}/edge", json=resource)
            assert answer.status_code in (200, 201)
        return self.state()

    def state(self) -> State:
        """What is desired, and how often the tables in the kernel were flipped."""
        told = self.session.get(unix_http.BASE_URL + "/v1/resources").json()
        desired = [(one["kind"], one["metadata"], one["spec"]) for one in told["items"]]
        with netns.inside(self.agent.namespace), Datapath.open(self.agent.bpffs) as datapath:
            return desired, datapath.generation()


@pytest.fixture(scope="module", autouse=True)
def leaves_nothing_behind(
    leak_check: Callable[[], AbstractContextManager[None]],
) -> Iterator[None]:
    """Of all tests together: they share an agent, which they make do things."""
    with leak_check():
        yield


@pytest.fixture(scope="module")
def served(
    leaves_nothing_behind: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with agents.world(tmp_path_factory.mktemp("openapi")) as (agent, _, _):
        agent.start()
        agent.apply(GATEWAY)
        with unix_http.session(agent.place.run_dir / "api.sock") as session:
            yield Served(agent, session)
            agent.end()


def fit(case: schemathesis.Case) -> None:
    """What was not made wrong on purpose names what there is, and has no two preconditions: else
    nearly all that is made up would be refused for that alone.
    """
    wrong = {
        location
        for location, component in (case.meta.components if case.meta else {}).items()
        if component.mode.is_negative
    }
    if ParameterLocation.PATH not in wrong:
        case.path_parameters |= {
            name: value for name, value in NAMES.items() if name in case.path_parameters
        }
    if ParameterLocation.HEADER not in wrong and "If-None-Match" in case.headers:
        del case.headers["If-None-Match"]
        case.headers.pop("If-Match", None)
    body: Any = case.body
    if ParameterLocation.BODY in wrong or not isinstance(body, dict):
        return
    for resource in (body, *body.get("put", ())):
        if resource.get("kind") == "Gateway":
            resource["metadata"] = GATEWAY["metadata"]
            resource["spec"] |= {"devices": GATEWAY["spec"]["devices"]}


def check_answer(served: Served, case: schemathesis.Case) -> None:
    fit(case)
    before = served.last or served.with_gateway()
    served.last = None
    response = case.call_and_validate(
        base_url=unix_http.BASE_URL, session=served.session, checks=CHECKS
    )
    after = served.state()
    if response.status_code >= 400 or case.method == "GET":
        assert after == before, "refused, and yet something changed"
        served.last = after


@asking(**_RANDOM_ALONE).parametrize()
@hypothesis.settings(deadline=None, derandomize=True, database=None)
def test_every_answer_is_as_described(served: Served, case: schemathesis.Case) -> None:
    check_answer(served, case)


# Bodies of `transact` are those of the PUTs, each of which has its own cases.
@pytest.mark.sweep
@asking(operations=[{"include-operation-id": "transact", **_RANDOM_ALONE}]).parametrize()
@hypothesis.settings(deadline=None, derandomize=True, database=None)
def test_whatever_is_wrong_with_a_question(served: Served, case: schemathesis.Case) -> None:
    """Each keyword of each schema, broken one at a time."""
    check_answer(served, case)


def test_the_document_is_served(served: Served) -> None:
    told = served.session.get(unix_http.BASE_URL + "/openapi.json").json()
    assert told["paths"] == json.loads(openapi.text())["paths"]
