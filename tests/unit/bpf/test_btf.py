# SPDX-License-Identifier: Apache-2.0
"""BTF decoded: the kinds that the objects of the tests hold are met here byte by byte."""

import struct

import pytest

from sixlane.bpf.btf import (
    Array,
    Btf,
    DeclarationTag,
    Enum,
    Enumerator,
    Float,
    Forward,
    Int,
    Pointer,
    Qualifier,
    Struct,
    Typedef,
    Void,
)

# As clang writes them: name, kind, vlen, kind flag, size or type, and the words that follow.
TYPES: list[tuple[str, int, int, int, int, list[str | int]]] = [
    ("int", 1, 0, 0, 4, [1 << 24 | 32]),  # 1
    ("bool", 1, 0, 0, 1, [4 << 24 | 8]),  # 2
    ("", 2, 0, 0, 0, []),  # 3 void *
    ("", 3, 0, 0, 0, [1, 1, 6]),  # 4 int [6]
    ("", 10, 0, 0, 4, []),  # 5 const int [6]
    ("six", 8, 0, 0, 5, []),  # 6 typedef
    ("wide", 19, 2, 1, 8, ["A", 1, 0, "B", 0xFFFFFFFE, 0xFFFFFFFF]),  # 7
    ("signed", 6, 1, 1, 4, ["C", 0xFFFFFFFF]),  # 8
    ("unsigned", 6, 1, 0, 4, ["D", 0xFFFFFFFF]),  # 9
    ("node", 4, 2, 0, 32, ["next", 11, 0, "values", 6, 64]),  # 10
    ("", 2, 0, 0, 10, []),  # 11 struct node *
    ("later", 7, 0, 0, 0, []),  # 12
    ("double", 16, 0, 0, 8, []),  # 13
    ("user", 18, 0, 0, 1, []),  # 14
    ("hot", 17, 0, 0, 10, [0xFFFFFFFF]),  # 15
]


def encode() -> bytes:
    names = bytearray(b"\0")

    def name(text: str) -> int:
        if not text:
            return 0
        names.extend(text.encode() + b"\0")
        return len(names) - len(text) - 1

    body = b""
    for label, kind, vlen, flag, word, rest in TYPES:
        body += struct.pack("=III", name(label), flag << 31 | kind << 24 | vlen, word)
        for item in rest:
            body += struct.pack("=I", name(item) if isinstance(item, str) else item)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body), len(body), len(names))
    return header + body + bytes(names)


@pytest.fixture
def btf() -> Btf:
    return Btf(encode())


def test_every_kind(btf: Btf) -> None:
    assert len(btf) == len(TYPES) + 1
    assert btf[0] == Void()
    assert btf[1] == Int("int", 4, signed=True, bool=False)
    assert btf[2] == Int("bool", 1, signed=False, bool=True)
    assert btf[12] == Forward("later")
    assert btf[13] == Float("double", 8)
    assert btf[14] == Qualifier(btf, 1, "user")
    assert btf[15] == DeclarationTag(btf, 10, "hot", -1)


def test_enums(btf: Btf) -> None:
    assert btf.find(Enum, "wide").values == (Enumerator("A", 1), Enumerator("B", -2))
    assert btf.find(Enum, "signed").values == (Enumerator("C", -1),)
    assert btf.find(Enum, "unsigned").values == (Enumerator("D", 2**32 - 1),)


def test_references_are_followed(btf: Btf) -> None:
    following, values = btf.find(Struct, "node").members
    assert isinstance(following.type, Pointer) and following.type.type is btf[10]
    assert isinstance(values.type, Typedef) and values.offset_bits == 64
    assert btf.strip(values.type) == Array(btf, 1, 6)
    assert btf.size(values.type) == 24
    assert btf.size(following.type) == 8


def test_a_type_that_is_not_there(btf: Btf) -> None:
    with pytest.raises(LookupError, match="no Struct six"):
        btf.find(Struct, "six")
    with pytest.raises(IndexError):
        btf[99]
    with pytest.raises(TypeError, match="no size"):
        btf.size(Void())
    assert btf.maps() == {}


@pytest.mark.parametrize("raw", [b"", b"\xeb\x9f" + bytes(22), bytes(24)])
def test_what_is_not_btf(raw: bytes) -> None:
    with pytest.raises(ValueError, match="BTF"):
        Btf(raw)
