# SPDX-License-Identifier: Apache-2.0
"""The pods of this node, for people; and what serves them, for the CNI plugin's routes."""

from collections.abc import Collection

from fastapi import APIRouter, Response

from sixlane.agent import Agent
from sixlane.agent.cni_requests import Command
from sixlane.api.answers import answer
from sixlane.api.describe import found
from sixlane.pods.attached import Attached
from sixlane.pods.pod import Asked, Attachment


class AgentsPods:
    """`sixlane.api.cni.Pods`, by the agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def add(self, asked: Asked, network: str) -> Attached:
        return self._agent.pods.add(asked, network)

    def delete(self, attachment: Attachment, netns: str | None) -> None:
        self._agent.pods.delete(attachment, netns)

    def check(self, asked: Asked, network: str) -> Attached:
        return self._agent.pods.check(asked, network)

    def gc(self, valid: Collection[Attachment], network: str) -> None:
        self._agent.pods.gc(valid, network)

    def status(self) -> None:
        self._agent.pods.status()

    def note(self, command: Command, result: str, seconds: float) -> None:
        self._agent.pods.requests.note(command, result, seconds)


def routes(agent: Agent) -> APIRouter:
    router = APIRouter(tags=["pods"])

    @router.get("/v1/pods", operation_id="listPods", responses=found("PodListing"))
    def list_pods() -> Response:
        """What each pod of this node has."""
        return answer({"items": agent.pods_data()})

    @router.get("/v1/bigtcp", operation_id="listBigTcp", responses=found("BigTcpListing"))
    def list_big_tcp() -> Response:
        """How large packets may be on uplinks and devices of pods, and why."""
        return answer({"items": agent.big_tcp_data()})

    return router
