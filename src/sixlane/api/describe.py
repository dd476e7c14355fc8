# SPDX-License-Identifier: Apache-2.0
"""What routes say about themselves in the OpenAPI document."""

from typing import Any

from sixlane.api.body import JSON, JSON_LINES
from sixlane.api.problem import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

_ETAG = {
    "description": "The resourceVersion in quotes; for If-Match and If-None-Match.",
    "schema": {"type": "string", "pattern": '^"[^"]*"$'},
}
_PROBLEMS = {
    400: "The request is not what HTTP, JSON or this document ask for.",
    404: "There is no such resource, or part of one.",
    408: "The body did not come in time.",
    409: "The body's resourceVersion is not the present one: somebody was faster.",
    412: "If-Match or If-None-Match does not hold: somebody was faster.",
    413: "The body is too large.",
    415: "The body is of another media type.",
    422: "Refused: what is asked for is wrong, or does not fit this machine. Nothing was changed.",
    500: "The kernel or the disk refused; or a defect of sixlane. What was in force is so again.",
    501: "This machine lacks something that is needed.",
    503: "Not now: too many streams are open; or no pod can be served yet.",
}
_ALWAYS = (400, 500)  # any request may have a wrong parameter, any disk may break


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def content(description: str, name: str, media_type: str = JSON) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": ref(name)}}}


def problems(*statuses: int) -> Responses:
    """These, and those that every call has. What can be too large can be too slow."""
    slow = {408} if 413 in statuses else set()
    return {
        status: content(_PROBLEMS[status], "Problem", MEDIA_TYPE)
        for status in sorted({*statuses, *_ALWAYS, *slow})
    }


def found(name: str, *statuses: int) -> Responses:
    """The responses of a call that looks and changes nothing."""
    return {200: content("Here it is.", name), **problems(*statuses)}


def found_versioned(name: str, *statuses: int) -> Responses:
    """The same, of something with an ETag."""
    headers = {"ETag": _ETAG}
    return {
        200: {**content("Here it is.", name), "headers": headers},
        304: {"description": "If-None-Match names the present version.", "headers": headers},
        **problems(*statuses),
    }


def changed(*statuses: int, creates: bool = False) -> Responses:
    """The responses of a call that changes something."""
    created: Responses = {201: content("It is new.", "Applied")} if creates else {}
    return {
        200: content("What was done; or in a dry run, would be.", "Applied"),
        **created,
        **problems(*statuses, 422, 501),
    }


def body(media_type: str, name: str) -> dict[str, Any]:
    """The request's body, which the route reads by itself."""
    return {"requestBody": {"required": True, "content": {media_type: {"schema": ref(name)}}}}


def text_body(media_type: str) -> dict[str, Any]:
    """The same, of a body that is no one JSON value."""
    content = {media_type: {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}


def done(*statuses: int) -> Responses:
    """The responses of a call that has nothing to tell."""
    return {204: {"description": "Done."}, **problems(*statuses)}


def event_stream(name: str, *statuses: int) -> Responses:
    """Server-sent events, whose data is JSON of one shape."""
    return {
        200: {
            "description": f"Server-sent events; the data of each is JSON, a {name}.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(*statuses, 503),
    }


def json_lines(name: str, *statuses: int) -> Responses:
    """One JSON object of one shape a line."""
    return {
        200: {
            "description": f"JSON, a {name}, on each line.",
            "content": {JSON_LINES: {"schema": {"type": "string"}}},
        },
        **problems(*statuses, 503),
    }


def metrics_responses() -> Responses:
    return {
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems(),
    }
