# SPDX-License-Identifier: Apache-2.0
"""Resources from files, directories and standard input."""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sixlane.errors import ConfigError
from sixlane.sources import yaml12

MAX_BYTES = 16 * 1024 * 1024
SUFFIXES = (".yaml", ".yml", ".json")
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Document:
    """One YAML document: plain data, and where it stands."""

    file: str
    number: int  # in its file, from 1
    data: object
    text: str  # of the whole file
    within: tuple[str | int, ...] = ()  # where it stands in its YAML document, if that is a list

    @property
    def where(self) -> str:
        """What errors call its place."""
        return f"{self.file}:{self.number}"

    def line_of(self, path: tuple[str | int, ...]) -> int:
        """The line of the value at `path`, from 1; of the deepest part of it that there is."""
        return yaml12.line_of(self.text, self.number, (*self.within, *path))


def read(paths: Iterable[str]) -> list[Document]:
    """All documents, in order. `-` is standard input; of a directory, its YAML and JSON files.

    Raises `ConfigError` with file and line for what cannot be read, is too large, is not text or
    not YAML, and where there is no document at all.
    """
    given = list(paths)
    documents = [document for path in given for file in _files(path) for document in _read(file)]
    if not documents:
        names = ", ".join(_name_of(path) for path in given)
        raise ConfigError(f"no resource: {names}", "the files are empty")
    return documents


def _files(path: str) -> list[str]:
    if path == STANDARD_INPUT or not os.path.isdir(path):
        return [path]
    try:
        names = sorted(os.listdir(path))
    except OSError as error:
        raise ConfigError(f"cannot read: {path}: {error.strerror}") from None
    files = [str(Path(path, name)) for name in names if name.endswith(SUFFIXES)]
    if not files:
        raise ConfigError(f"no resource: {path}", f"no file in it ends in {', '.join(SUFFIXES)}")
    return files


def _read(file: str) -> Iterator[Document]:
    name = _name_of(file)
    text = _text(file, name)
    try:
        for number, data in enumerate(yaml12.documents(text), 1):
            for within, one in _listed(data):
                yield Document(name, number, one, text, within)
    except yaml12.YamlError as error:
        raise ConfigError(
            f"not valid YAML: {name}, line {error.line}: {error.what}", _hint(text, error.line)
        ) from None


def _name_of(file: str) -> str:
    return "standard input" if file == STANDARD_INPUT else file


def _listed(data: object) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """The resources of a list, as `sixlane get -o json` prints one; else the data itself."""
    items = data.get("items") if isinstance(data, dict) else None
    if isinstance(data, dict) and isinstance(items, list) and data.get("kind") in (None, "List"):
        yield from ((("items", index), item) for index, item in enumerate(items))
    else:
        yield (), data


def _text(file: str, name: str) -> str:
    try:
        if file == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(file, "rb") as stream:
                raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read: {name}: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES >> 20} MB: {name}", "is it the right file?")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"not a text file: {name}, line {line}: byte {raw[error.start]:#04x} is not UTF-8",
            "resources are YAML or JSON",
        ) from None
    if "\0" in text:
        raise ConfigError(f"not a text file: {name}: it holds NUL", "resources are YAML or JSON")
    return text


def _hint(text: str, line: int) -> str:
    lines = text.splitlines()
    shown = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in shown[: len(shown) - len(shown.lstrip())]:
        return "indent with spaces, not tabs"
    if "::" in shown:
        return "write IPv6 addresses in quotes"
    return ""
