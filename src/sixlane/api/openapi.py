# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: routes as they are, shapes as the models and answers have them.

`python -m sixlane.api.openapi` writes docs/reference/openapi.json; with `--check` it fails if that
file is not what it would write.
"""

import json
import sys
from pathlib import Path
from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sixlane.api import cni, health_checks, schemas, trace, transactions
from sixlane.api.body import JSON
from sixlane.api.problem import MEDIA_TYPE
from sixlane.model import KINDS
from sixlane.model.resource import SchemaGenerator

FILE = Path("docs/reference/openapi.json")

_SERVER = "http://localhost"  # any name does: the way is a unix socket
_DESCRIPTION = """\
HTTP and JSON on the unix socket `/run/sixlane/api.sock` (0660, group `sixlane`), never on the
network. Problems are told as RFC 9457 has it. A resource's ETag is its `resourceVersion` in quotes:
send it back in `If-Match`, or in the body's `metadata.resourceVersion`, and a change that somebody
made in between is not lost. `dryRun=true` goes all the way but the last step.
"""
_TAGS = {
    "resources": "What is desired of the machine, and how it does.",
    "prefixes": "Prefixes and explicit address mappings of a Gateway, one by one.",
    "backends": "Backends of a Service, one by one, and what services carry.",
    "transactions": "Many resources at once, the history, the way back.",
    "sessions": "Sessions, bindings and clients of stateful NAT64 (RFC 6146).",
    "health": "Checks of backends: what sixlane-health is to do, and what came of it.",
    "pods": "Pods of this node, and what the CNI plugin asks on behalf of a container runtime.",
    "streams": "Server-sent events.",
    "system": "What the agent and the machine are doing.",
}
_PATCH = {
    "type": "object",
    "description": "A JSON merge patch (RFC 7396): null takes a key away, a list is replaced.",
    "examples": [{"spec": {"lowestIPv6MTU": 1400}}, {"weight": 3}],
}


def document(app: FastAPI) -> dict[str, Any]:
    """What the application answers as `/openapi.json`."""
    made = get_openapi(
        title=app.title,
        version=app.version,
        summary="The agent of sixlane",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        servers=[{"url": _SERVER}],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    told: dict[str, Any] = {}
    for operations in made["paths"].values():
        for operation in operations.values():
            _without_what_we_do_not_say(operation)
            told |= _shared_problems(operation["responses"])
    made["components"] = {"schemas": schemas_of_document(), "responses": dict(sorted(told.items()))}
    return made


def _without_what_we_do_not_say(operation: dict[str, Any]) -> None:
    """FastAPI would have validation errors told as 422 in a shape of its own, and lets null stand
    for what is left out, which has no place in a URL or a header.
    """
    if JSON in operation["responses"].get("422", {}).get("content", {}):
        del operation["responses"]["422"]
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        for key in ("title", "description"):
            schema.pop(key, None)
        if "anyOf" in schema:
            there = next(one for one in schema.pop("anyOf") if one != {"type": "null"})
            parameter["schema"] = {**there, **schema}


def _shared_problems(responses: dict[str, Any]) -> dict[str, Any]:
    """Takes the problems out, by name, and leaves references to them."""
    taken = {}
    for status, response in responses.items():
        if MEDIA_TYPE in response.get("content", {}):
            name = f"Problem{status}"
            taken[name] = response
            responses[status] = {"$ref": f"#/components/responses/{name}"}
    return taken


def schemas_of_document() -> dict[str, Any]:
    """All shapes, by name."""
    shapes = [
        *KINDS.values(),
        transactions.TransactionBody,
        trace.TraceBody,
        transactions.RollbackBody,
        health_checks.ResultsBody,
        *cni.BODIES,
        *_shapes_of_answers(),
    ]
    _, made = models_json_schema(
        [(shape, "validation") for shape in shapes],
        ref_template="#/components/schemas/{model}",
        schema_generator=SchemaGenerator,
    )
    components: dict[str, Any] = {**made["$defs"], "Patch": _PATCH}
    for component in components.values():
        _tidy(component)
        if "properties" in component:  # what is not known is refused, and not answered
            component.setdefault("additionalProperties", False)
    return dict(sorted(components.items()))


def _shapes_of_answers() -> list[type[BaseModel]]:
    return [
        shape
        for shape in vars(schemas).values()
        if isinstance(shape, type)
        and issubclass(shape, schemas.Shape)
        and shape is not schemas.Shape
    ]


def _tidy(schema: Any) -> None:
    """Without the titles that pydantic makes of keys, line breaks of docstrings, and the null that
    stands for what is not there.
    """
    if isinstance(schema, list):
        for item in schema:
            _tidy(item)
    if not isinstance(schema, dict):
        return
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    if isinstance(schema.get("description"), str):
        schema["description"] = " ".join(schema["description"].split())
    for key, value in schema.items():
        if key == "properties":
            for one in value.values():
                _tidy(one)
        elif key not in ("examples", "default", "const", "enum"):
            _tidy(value)


def text() -> str:
    from sixlane.agent import Agent
    from sixlane.api.app import make_app

    app = make_app(cast(Agent, None))  # routes hold it, and nobody calls them
    made = document(app)
    made["info"]["version"] = "v1"  # the file changes with the API, not with each release
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def main(argv: list[str]) -> int:
    wanted = text()
    if "--check" not in argv:
        FILE.write_text(wanted)
        return 0
    if FILE.is_file() and FILE.read_text() == wanted:
        return 0
    print(f"{FILE} is not current: make generate", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
