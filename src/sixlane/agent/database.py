# SPDX-License-Identifier: Apache-2.0
"""The file of the store."""

import sqlite3
from pathlib import Path

from sixlane import database
from sixlane.agent import schema

_STAYS = "what is in force stays"
_MEND = "move it away and apply again"


class Database(database.Database):
    """With the tables of the store. In a copy, originals may be written, and they are kept."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, self._bring_up_to_date, _STAYS, _MEND, schema.copy_originals)

    def _bring_up_to_date(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == schema.VERSION:
            schema.index(db)
            return
        if version not in (0, 1):
            raise database.of_another_version(self.path, version, _STAYS)
        with database.transaction(db):
            schema.create(db) if version == 0 else schema.migrate_from_1(db)
            schema.index(db)
