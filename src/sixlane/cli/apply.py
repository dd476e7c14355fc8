# SPDX-License-Identifier: Apache-2.0
"""`sixlane apply`: files to the agent, and its refusals back to file and line."""

from collections.abc import Sequence
from typing import Any

from sixlane.cli.client import Client
from sixlane.cli.errors import Problem
from sixlane.errors import ConfigError
from sixlane.sources.files import Document, read


def apply_files(client: Client, files: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Send all documents as one transaction; the agent's answer."""
    documents = read(files)
    try:
        applied: dict[str, Any] = client.post(
            "/v1/apply" + ("?dryRun=true" if dry_run else ""),
            [document.data for document in documents],
        )
    except Problem as problem:
        if problem.resource is None or problem.resource >= len(documents):
            raise
        raise _placed(problem, documents[problem.resource], documents) from None
    return applied


def _placed(problem: Problem, document: Document, documents: list[Document]) -> ConfigError:
    place = f"{document.where}{_path_text(problem.path)}, line {document.line_of(problem.path)}"
    return ConfigError(f"{problem.what}: {place}", problem.hint)


def _path_text(path: tuple[str | int, ...]) -> str:
    """As `sixlane.model.problem` writes it; the models take too long to import."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f":{text.removeprefix('.')}" if text else ""
