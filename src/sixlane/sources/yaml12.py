# SPDX-License-Identifier: Apache-2.0
"""YAML 1.2 with the core schema, on PyYAML's C parser.

PyYAML by itself reads YAML 1.1: `1:2:3:4:5:6:7:8` is a number in base 60 there, and `no` is false.
"""

import re
from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML built without libyaml: the same, 10 times slower
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_DEPTH = 64

_TAG = "tag:yaml.org,2002:"


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


def documents(text: str) -> Iterator[Node]:
    """The top node of each document that is not empty. Raises `YamlError`."""
    loader = None
    try:
        _check_depth(text)
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is not None and not _is_empty(node):
                yield node
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


def _check_depth(text: str) -> None:
    """Composing recurses in C, without a limit: a file of `[` would end the process."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                mark = event.start_mark
                raise YamlError(
                    f"more than {MAX_DEPTH} lists or mappings in each other",
                    mark.line + 1 if mark else 1,
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def to_data(node: Node) -> object:
    """A node as dicts, lists, text, numbers, booleans and None.

    Raises `YamlError` for a key that stands twice, for tags beyond the core schema, and for
    aliases of lists and mappings, with which a small file can stand for a huge one.
    """
    return _Builder().build(node)


def line_of(node: Node, path: tuple[str | int, ...]) -> int:
    """The line, counted from 1, on which the value at `path` begins, or the deepest part of it."""
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


class _Builder:
    def __init__(self) -> None:
        self._seen: set[int] = set()

    def build(self, node: Node) -> object:
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if id(node) in self._seen:
            raise YamlError("an alias of a list or mapping: write it out", _line(node))
        self._seen.add(id(node))
        if isinstance(node, SequenceNode):
            _expect(node, "seq")
            return [self.build(item) for item in node.value]
        _expect(node, "map")
        return self._mapping(node)

    def _mapping(self, node: Node) -> dict[object, object]:
        mapping: dict[object, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise YamlError("a key that is a list or mapping", _line(key_node))
            key = _scalar(key_node)
            if key in mapping:
                raise YamlError(f"key {key} stands twice", _line(key_node))
            mapping[key] = self.build(value_node)
        return mapping


def _scalar(node: ScalarNode) -> object:
    text: str = node.value
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "int":
            return _int(node, text)
        case "float":
            return _float(node, text)
    raise YamlError(f"tag {node.tag.replace(_TAG, '!!')} is not for {text!r}", _line(node))


def _int(node: Node, text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    try:
        return int(text[2:] if base != 10 else text, base)
    except ValueError:  # also for more digits than Python converts
        raise YamlError("not a whole number, or one too long", _line(node)) from None


def _float(node: Node, text: str) -> float:
    try:
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise YamlError(f"{text!r} is not a number", _line(node)) from None


def _expect(node: Node, kind: str) -> None:
    if node.tag != _TAG + kind:
        raise YamlError(f"tag {node.tag.replace(_TAG, '!!')} is not known", _line(node))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
