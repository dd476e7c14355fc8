# SPDX-License-Identifier: Apache-2.0
"""Files of every wrong kind get one line with file and line number."""

import io
import sys
import time
from pathlib import Path

import pytest

from sixlane.errors import ConfigError
from sixlane.sources.files import MAX_BYTES, Document, read


def read_text(tmp_path: Path, text: str | bytes, name: str = "edge.yaml") -> list[Document]:
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read([str(file)])


def refused(tmp_path: Path, text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_text(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "edge.yaml") in caught.value.message
    return caught.value


def test_yaml_1_2_core(tmp_path: Path) -> None:
    (document,) = read_text(
        tmp_path,
        """
        address: 1:2:3:4:5:6:7:8
        prefix: 64:ff9b::/96
        words: [no, yes, on, off, y, 2001-12-14, "true", <<]
        truths: [true, False, TRUE]
        numbers: [012, 0o17, 0xff, -3, 1_000]
        floats: [1.5, 1e3, .5]
        nothing: [~, null, ]
        empty:
        """,
    )
    assert document.data == {
        "address": "1:2:3:4:5:6:7:8",
        "prefix": "64:ff9b::/96",
        "words": ["no", "yes", "on", "off", "y", "2001-12-14", "true", "<<"],
        "truths": [True, False, True],
        "numbers": [12, 15, 255, -3, "1_000"],
        "floats": [1.5, 1000.0, 0.5],
        "nothing": [None, None],
        "empty": None,
    }


def test_scalars_may_have_anchors_and_tags(tmp_path: Path) -> None:
    text = "a: &x 1\nb: *x\n*x : c\nd: !!str 12\nf: !!seq [!!int 3]\ng: '12'\n"
    (document,) = read_text(tmp_path, text)
    assert document.data == {"a": 1, "b": 1, 1: "c", "d": "12", "f": [3], "g": "12"}


def test_json_is_yaml(tmp_path: Path) -> None:
    (document,) = read_text(tmp_path, '{"a": [1, "::1", true, null]}', "edge.json")
    assert document.data == {"a": [1, "::1", True, None]}


def test_documents_and_their_places(tmp_path: Path) -> None:
    first, second = read_text(tmp_path, "\ufeff---\na: 1\n---\n# nothing\n---\nb:\n  - c: 2\n")
    assert (first.number, second.number) == (1, 2)
    assert second.where == f"{tmp_path / 'edge.yaml'}:2"
    assert first.line_of(()) == 2
    assert second.line_of(("b",)) == 6
    assert second.line_of(("b", 0, "c")) == 7
    assert second.line_of(("b", 5)) == 6  # as far as the path leads
    assert second.line_of(("b", 0, "c", "d")) == 7


def test_a_directory_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "ignored.txt"):
        (tmp_path / name).write_text(f'"{name}"')
    assert [document.data for document in read([str(tmp_path)])] == ["a.yaml", "b.yml", "c.json"]


def test_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file in it ends in \.yaml"):
        read([str(tmp_path)])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a: 1")))
    (document,) = read(["-"])
    assert document.data == {"a": 1}
    assert document.where == "standard input:1"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a: 1\nb: c: d\n", "line 2: mapping values are not allowed", ""),
        ("a:\n\tb: 1\n", "line 2: found character that cannot start any token", "spaces"),
        ("a: [::1/128]\n", "line 1: did not find expected node content", "in quotes"),
        ("a: 1\nb: 2\na: 3\n", "line 3: key a stands twice", ""),
        ("a: &x [1]\nb: *x\n", "alias of a list or mapping", ""),
        ("&a [*a]\n", "alias of a list or mapping", ""),
        ("a: 1\nb: *x\n", "line 2: alias x of nothing", ""),
        ("a: &x 1\n---\nb: *x\n", "line 3: alias x of nothing", ""),
        ("a: &x 1\nb: &x 2\n", "line 2: anchor x stands twice", ""),
        ("a: !!seq {}\n", "line 1: tag !!seq is not known", ""),
        ("? *x\n: 2\n", "line 1: alias x of nothing", ""),
        ("a: !!python/object:os.system {}\n", "line 1: tag !!python/object:os.system", ""),
        ("a: !!binary aGk=\n", "tag !!binary is not", ""),
        ("? [1]\n: 2\n", "a key that is a list or mapping", ""),
        ("a: " + "9" * 5000, "line 1: not a whole number, or one too long", ""),
        ("\n" + "[" * 65, "line 2: more than 64 lists or mappings in each other", ""),
        ("\n" + "[" * 100_000, "line 2", ""),  # libyaml itself may have a limit, too
        ("a: \x01\n", "control characters are not allowed", ""),
        (b"\x7fELF\x02\x01\xff\xfe", "not a text file", "YAML or JSON"),
        (b"a: 1\nb: \xff\n", "line 2: byte 0xff is not UTF-8", "YAML or JSON"),
        (b"a\0b", "it holds NUL", "YAML or JSON"),
        ("", "no resource", "empty"),
        ("---\n# nothing\n---\n", "no resource", "empty"),
    ],
)
def test_refused(tmp_path: Path, text: str | bytes, message: str, hint: str) -> None:
    error = refused(tmp_path, text)
    assert message in error.message
    assert hint in error.hint


def test_a_file_of_100_mb_is_not_read(tmp_path: Path) -> None:
    huge = tmp_path / "edge.yaml"
    with huge.open("wb") as file:
        file.truncate(100 << 20)
    start = time.process_time()
    with pytest.raises(ConfigError, match=f"larger than {MAX_BYTES >> 20} MB"):
        read([str(huge)])
    assert time.process_time() - start < 1


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read: .*nowhere\.yaml: No such file"):
        read([str(tmp_path / "nowhere.yaml")])


def test_100_000_ranges_take_less_than_a_second(tmp_path: Path) -> None:
    lines = "".join(f"- {i >> 16}.{i >> 8 & 255}.{i & 255}.0/24\n" for i in range(100_000))
    start = time.process_time()
    (document,) = read_text(tmp_path, lines)
    assert time.process_time() - start < 3  # 0.4 s on a quiet machine
    assert isinstance(document.data, list)
    assert len(document.data) == 100_000
