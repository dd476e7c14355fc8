# SPDX-License-Identifier: Apache-2.0
"""YAML 1.2 with the core schema, on PyYAML's C parser.

PyYAML by itself reads YAML 1.1: `1:2:3:4:5:6:7:8` is a number in base 60 there, and `no` is false.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml.events import Event, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, 10 times slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_DEPTH = 64

_TAG = "tag:yaml.org,2002:"
_COLLECTION = object()  # what an anchor of a list or mapping stands for


class YamlError(Exception):
    """`what` is wrong at `line`, counted from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what, line)
        self.what = what
        self.line = line


class _Loader(_SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


def _resolve(tag: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_TAG + tag, re.compile(rf"(?:{pattern})\Z"), list(first))


# YAML 1.2.2, section 10.3.2.
_resolve("null", r"~|null|Null|NULL|", "~nN")
_Loader.add_implicit_resolver(_TAG + "null", re.compile(r"\Z"), [""])
_resolve("bool", r"true|True|TRUE|false|False|FALSE", "tTfF")
_resolve("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789")
_resolve("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789")
_resolve("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+.")

RESOLVERS = _Loader.yaml_implicit_resolvers  # by first character: tags, and what they look like


def documents(text: str) -> Iterator[object]:
    """Each document that is not empty as dicts, lists, text, numbers, booleans and None.

    Raises `YamlError`, also for a key that stands twice, for tags beyond the core schema, and for
    aliases of lists and mappings, with which a small file can stand for a huge one.
    """
    loader = None
    try:
        loader = _Loader(text)
        events = _Events(loader)
        while (event := loader.get_event()) is not None:
            if isinstance(event, yaml.DocumentStartEvent):
                data = events.document()
                if data is not None:
                    yield data
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "not YAML"
        raise YamlError(what, mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:  # a character that YAML forbids
        position = getattr(error, "position", 0)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) else 1
        raise YamlError(str(getattr(error, "reason", "not YAML")), line) from None
    finally:
        if loader is not None:
            loader.dispose()


def line_of(text: str, number: int, path: tuple[str | int, ...]) -> int:
    """The line, counted from 1, on which the value at `path` begins, or the deepest part of it.

    `number`: the document's place among those of the text that are not empty, from 1. For text
    that `documents` has read to its end.
    """
    trees = (node for node in yaml.compose_all(text, _Loader) if node and not _is_empty(node))
    node = next(itertools.islice(trees, number - 1, None))
    for step in path:
        child = _child(node, step)
        if child is None:
            break
        node = child
    return int(node.start_mark.line) + 1


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: Node = node.value[step]
        return found
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == step:
                # A block begins below its key, a scalar stands beside it.
                return value if isinstance(value, ScalarNode) else _begun_at(value, key)
    return None


def _begun_at(value: Node, key: Node) -> Node:
    value.start_mark = key.start_mark
    return value


def _is_empty(node: Node) -> bool:
    return isinstance(node, ScalarNode) and node.tag == _TAG + "null"


class _Events:
    """Builds data from what the parser tells, without a tree of nodes between.

    PyYAML composes nodes by recursion in C without a limit, so that a file of `[` would end the
    process; and 100,000 ranges take four times as long.
    """

    def __init__(self, loader: _Loader) -> None:
        self._next: Callable[[], Any] = loader.get_event  # None only behind the last document
        self._anchors: dict[str, object] = {}

    def document(self) -> object:
        """To be called behind its start."""
        self._anchors = {}
        return self._value(self._next(), MAX_DEPTH)

    def _value(self, event: Any, levels: int) -> object:
        """`levels`: how many lists and mappings there may be in each other from here on."""
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            self._keep(event, value)
            return value
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        if not levels:
            raise YamlError(f"more than {MAX_DEPTH} lists or mappings in each other", _line(event))
        self._keep(event, _COLLECTION)
        if isinstance(event, yaml.SequenceStartEvent):
            _expect(event, "seq")
            return self._sequence(levels - 1)
        _expect(event, "map")
        return self._mapping(levels - 1)

    def _sequence(self, levels: int) -> list[object]:
        items = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, levels))
        return items

    def _mapping(self, levels: int) -> dict[object, object]:
        mapping: dict[object, object] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if isinstance(event, yaml.CollectionStartEvent):
                raise YamlError("a key that is a list or mapping", _line(event))
            key = self._value(event, levels)
            if key in mapping:
                raise YamlError(f"key {key} stands twice", _line(event))
            mapping[key] = self._value(self._next(), levels)
        return mapping

    def _keep(self, event: NodeEvent, value: object) -> None:
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise YamlError(f"anchor {event.anchor} stands twice", _line(event))
            self._anchors[event.anchor] = value

    def _alias(self, event: NodeEvent) -> object:
        if event.anchor not in self._anchors:
            raise YamlError(f"alias {event.anchor} of nothing", _line(event))
        value = self._anchors[event.anchor]
        if value is _COLLECTION:
            raise YamlError("an alias of a list or mapping: write it out", _line(event))
        return value


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    tag = event.tag
    if tag is None or tag == "!":
        if not event.implicit[0]:
            return text
        tag = _implicit_tag(text)
    match tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "int":
            return _int(event, text)
        case "float":
            return _float(event, text)
    raise YamlError(f"tag {tag.replace(_TAG, '!!')} is not for {text!r}", _line(event))


def _implicit_tag(text: str) -> str:
    """Of a scalar that stands there plain and without a tag."""
    for tag, pattern in RESOLVERS.get(text[:1], ()):
        if pattern.match(text):
            return tag
    return _TAG + "str"


def _int(event: Event, text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    try:
        return int(text[2:] if base != 10 else text, base)
    except ValueError:  # also for more digits than Python converts
        raise YamlError("not a whole number, or one too long", _line(event)) from None


def _float(event: Event, text: str) -> float:
    try:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise YamlError(f"{text!r} is not a number", _line(event)) from None


def _expect(event: yaml.CollectionStartEvent, kind: str) -> None:
    if event.tag not in (None, "!", _TAG + kind):
        raise YamlError(f"tag {event.tag.replace(_TAG, '!!')} is not known", _line(event))


def _line(event: Event) -> int:
    return int(event.start_mark.line) + 1 if event.start_mark else 1
