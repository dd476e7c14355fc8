# SPDX-License-Identifier: Apache-2.0
"""What the CNI plugin asks, over HTTP: results and problems. The rest is in tests of the plugin."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sixlane.agent.problems import NotFound
from sixlane.api import schemas
from sixlane.api.cni import code_of
from sixlane.errors import ConfigError, KernelError, NotSupported, SixlaneError
from sixlane.pods.attached import CniCode, PodError
from sixlane.pods.pod import Attachment
from tests.unit.cni.agents import RememberedPods, serving

CONFIG = {"cniVersion": "1.1.0", "name": "pods", "type": "sixlane"}
PLACE = {"containerId": "c1", "netns": "/run/netns/c1", "ifname": "eth0"}
ADD: dict[str, Any] = {**PLACE, "args": {}, "config": CONFIG}
GC: dict[str, Any] = {"network": "pods", "validAttachments": []}
FIRST = Attachment("c1", "eth0")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RememberedPods, Path]]:
    pods, path = RememberedPods(), tmp_path_factory.mktemp("agent") / "api.sock"
    with serving(pods, path):
        yield pods, path


@pytest.fixture
def pods(served: tuple[RememberedPods, Path]) -> RememberedPods:
    served[0].forget()
    return served[0]


@pytest.fixture
def client(served: tuple[RememberedPods, Path], pods: RememberedPods) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(served[1]))
    with httpx.Client(transport=transport, base_url="http://sixlane/v1/cni", timeout=30) as client:
        yield client


def problem(response: httpx.Response, status: int, code: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    schemas.Problem.model_validate(told)
    assert told["cniCode"] == code
    return told


def done(response: httpx.Response) -> None:
    assert (response.status_code, response.content) == (204, b"")


def test_the_answer_is_as_described(pods: RememberedPods, client: httpx.Client) -> None:
    for has_macs in (True, False):
        pods.forget()
        pods.has_macs = has_macs
        answer = client.post("/add", json=ADD)
        assert answer.status_code == 200
        result = schemas.CniResult.model_validate(answer.json())
        assert [one.name for one in result.interfaces] == [FIRST.host_device, "eth0"]
        assert [one.sandbox for one in result.interfaces] == ["", "/run/netns/c1"]
        assert {ip.interface for ip in result.ips} == {1}


def test_each_call(pods: RememberedPods, client: httpx.Client) -> None:
    told = client.post("/add", json=ADD).json()
    done(client.post("/check", json={**ADD, "prevResult": told}))
    done(client.post("/status", json={"config": CONFIG}))
    done(client.post("/gc", json={**GC, "network": "others"}))
    stays = [{"containerID": "c1", "ifname": "eth0"}]
    done(client.post("/gc", json={**GC, "validAttachments": stays}))
    assert FIRST in pods.there
    done(client.post("/del", json={"containerId": "c1", "ifname": "eth0"}))
    assert not pods.there
    done(client.post("/del", json={**ADD, "netns": "", "config": None, "prevResult": "?"}))


def test_addresses_are_taken_from_the_first_place_that_has_any(
    pods: RememberedPods, client: httpx.Client
) -> None:
    annotations = {"sixlane.dev/addresses": "2001:db8:64:1::b, 10.64.0.2"}
    of_runtime = {"ips": ["2001:db8:64:1::a"], "io.kubernetes.cri.pod-annotations": annotations}
    of_args = {"cni": {"ips": ["2001:db8:64:1::c/64"]}}
    arguments = {"IP": "2001:db8:64:1::d"}
    body: dict[str, Any] = {**ADD, "args": arguments}
    body["config"] = {**CONFIG, "runtimeConfig": of_runtime, "args": of_args}
    for wanted in ("a", "b", "c", "d", ""):
        assert client.post("/add", json=body).status_code == 200
        assert [str(one)[-1] for one in pods.asked[-1].fixed[:1]] == [*wanted]
        if wanted == "a":
            del of_runtime["ips"]
        elif wanted == "b":
            assert [str(one) for one in pods.asked[-1].fixed[1:]] == ["10.64.0.2"]
            del annotations["sixlane.dev/addresses"]
        elif wanted == "c":
            of_args["cni"]["ips"] = []
        else:
            arguments.clear()


def test_what_annotations_ask_for_goes_before_the_configuration(
    pods: RememberedPods, client: httpx.Client
) -> None:
    annotations = {"sixlane.dev/pool": "edge", "sixlane.dev/device": "veth"}
    config = {**CONFIG, "pool": "default", "device": "netkit", "mtu": 1400}
    config["runtimeConfig"] = {"io.kubernetes.cri.pod-annotations": annotations}
    assert client.post("/add", json={**ADD, "config": config}).status_code == 200
    (asked,) = pods.asked
    assert (asked.pool, asked.device, asked.mtu) == ("edge", "veth", 1400)


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "what"),
    [
        ("/add", b"{", 400, 6, "not JSON"),
        ("/add", b"[]", 400, 6, "not a JSON object"),
        ("/add", {**ADD, "containerId": ""}, 422, 4, "containerId"),
        ("/add", {**ADD, "containerId": "../x"}, 422, 4, "containerId"),
        ("/add", {**ADD, "ifname": "a/b"}, 422, 4, "ifname"),
        ("/add", {**ADD, "ifname": "x" * 16}, 422, 4, "ifname"),
        ("/add", {**ADD, "netns": "run"}, 422, 4, "netns"),
        ("/add", {**ADD, "args": {"A": 1}}, 422, 4, "args.A"),
        ("/add", {**ADD, "container": "x"}, 422, 4, "unknown key container"),
        ("/add", {**ADD, "config": []}, 422, 7, "config"),
        ("/add", PLACE, 422, 4, "config is missing"),
        ("/add", {**ADD, "config": {**CONFIG, "name": "/"}}, 422, 7, "name"),
        ("/check", {**ADD, "prevResult": {}}, 404, 3, "there is no eth0 of c1"),
        ("/del", {"containerId": "c1"}, 422, 4, "ifname is missing"),
        ("/gc", {"network": "pods"}, 422, 4, "validAttachments is missing"),
        ("/gc", {"validAttachments": []}, 422, 4, "network is missing"),
        ("/status", {"config": {}}, 422, 7, "cniVersion is missing"),
    ],
)
def test_what_is_refused(
    pods: RememberedPods,
    client: httpx.Client,
    path: str,
    body: Any,
    status: int,
    code: int,
    what: str,
) -> None:
    headers = {"Content-Type": "application/json"}
    content = {"content": body} if isinstance(body, bytes) else {"json": body}
    told = problem(client.post(path, headers=headers, **content), status, code)
    assert what in told["detail"]
    assert not pods.there


def test_what_http_refuses(client: httpx.Client) -> None:
    assert client.post("/add?force=1", json=ADD).status_code == 400
    assert client.post("/add", content=b"{}").status_code == 415
    assert client.get("/add").status_code == 405


@pytest.mark.parametrize(
    ("code", "status"),
    [
        *((code, 422) for code in (1, 2, 4, 6, 7, 101)),
        (3, 404),
        *((code, 503) for code in (11, 50, 51)),
        *((code, 500) for code in (5, 100, 102)),
    ],
)
def test_the_status_of_each_code(
    pods: RememberedPods, client: httpx.Client, code: int, status: int
) -> None:
    pods.fail = PodError(CniCode(code), "why", "how")
    for path, body in (("/add", ADD), ("/del", PLACE), ("/gc", GC), ("/check", ADD)):
        told = problem(client.post(path, json=body), status, code)
        assert (told["detail"], told["hint"]) == ("why", "how")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError("why"), 422, 7),
        (NotFound("no pool edge"), 404, 7),
        (KernelError(16, "make sl0"), 500, 102),
        (NotSupported("netkit"), 501, 7),
        (SixlaneError("why"), 500, 100),
    ],
)
def test_errors_that_know_nothing_of_cni(
    pods: RememberedPods, client: httpx.Client, error: SixlaneError, status: int, code: int
) -> None:
    pods.fail = error
    assert code_of(error) == code
    problem(client.post("/add", json=ADD), status, code)


def test_requests_are_noted(pods: RememberedPods, client: httpx.Client) -> None:
    client.post("/add", json=ADD)
    pods.fail = PodError(CniCode.TRY_AGAIN_LATER, "not now")
    client.post("/add", json=ADD)
    pods.fail = KernelError(1, "make a device")
    client.post("/del", json=PLACE)
    client.post("/status", content=b"{", headers={"content-type": "application/json"})
    pods.fail = LookupError("a defect")
    client.post("/gc", json=GC)
    assert pods.noted == [
        ("ADD", "ok"),
        ("ADD", "try_again_later"),
        ("DEL", "kernel"),
        ("STATUS", "decoding_failure"),
        ("GC", "defect"),
    ]
