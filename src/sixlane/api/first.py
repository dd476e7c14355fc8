# SPDX-License-Identifier: Apache-2.0
"""The first start on a machine: what lies in the configuration directory is put in force.

From then on the store says what is desired, and the directory is but files: an agent that read them
at each start would undo what came by way of the API.
"""

import logging
from pathlib import Path

from sixlane.agent import Agent, Transaction
from sixlane.agent.edits import put
from sixlane.agent.log import fields
from sixlane.errors import SixlaneError
from sixlane.model import parse_resources
from sixlane.sources import files

_log = logging.getLogger("sixlane")


def apply_first(agent: Agent, directory: Path) -> None:
    """Apply the resources in `directory`, if none was ever applied.

    What is wrong with them is in the log, and stops nothing: the next start tries again.
    """
    if agent.revision() != 0 or not _resource_files(directory):
        return
    try:
        documents = files.read([str(directory)])
        resources = parse_resources([document.data for document in documents])
        applied = agent.apply(Transaction([put(resource) for resource in resources]))
    except SixlaneError as error:
        _log.error("not applied at the first start", extra=fields(source=directory, error=error))
        return
    _log.info(
        "applied at the first start", extra=fields(source=directory, revision=applied.revision)
    )


def _resource_files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.suffix in files.SUFFIXES]
    except OSError:  # there need not be one
        return []
