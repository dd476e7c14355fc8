# SPDX-License-Identifier: Apache-2.0
"""Files to the agent, and its refusals back to file and line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sixlane.client import Client, Problem
from sixlane.errors import ConfigError
from sixlane.sources.files import Document

if TYPE_CHECKING:
    from sixlane.client.types import Applied, Reference


def put(
    client: Client, documents: Sequence[Document], *, prune: bool = False, dry_run: bool = False
) -> "Applied":
    """Send all documents as one transaction. A problem with one of them names file and line."""
    data: list[Any] = [document.data for document in documents]
    try:
        return client.transaction(data, prune=prune, dry_run=dry_run)
    except Problem as problem:
        if problem.resource is None or problem.resource >= len(documents):
            raise
        raise _placed(problem, documents[problem.resource]) from None


def references(documents: Sequence[Document]) -> "list[Reference]":
    """What the documents name. Raises `ConfigError` for one that names nothing."""
    return [_reference(document) for document in documents]


def _reference(document: Document) -> "Reference":
    data = document.data
    kind = data.get("kind") if isinstance(data, dict) else None
    metadata = data.get("metadata") if isinstance(data, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(kind, str) or not isinstance(name, str):
        line = document.line_of(())
        raise ConfigError(
            f"not a resource: {document.where}, line {line}", "it has no kind or no metadata.name"
        )
    return {"kind": kind, "name": name}


def _placed(problem: Problem, document: Document) -> ConfigError:
    place = f"{document.where}{_path_text(problem.path)}, line {document.line_of(problem.path)}"
    return ConfigError(f"{problem.what}: {place}", problem.hint)


def _path_text(path: tuple[str | int, ...]) -> str:
    """As `sixlane.model.problem` writes it; the models take too long to import."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f":{text.removeprefix('.')}" if text else ""
