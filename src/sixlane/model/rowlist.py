# SPDX-License-Identifier: Apache-2.0
"""Lists of small things of which a machine has 100,000: a row of bytes each, and quick to read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from struct import Struct
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, overload

from pydantic import Field, GetCoreSchemaHandler
from pydantic_core import core_schema

from sixlane.model.problem import wrong
from sixlane.model.resource import Model

Item = TypeVar("Item", bound=Model)


class RowList(Sequence[Item], Generic[Item]):
    """In the order in which they were given, which means nothing: equal in another one, too.

    `data`: each as it is written in a resource, with the keys that were given; not to be changed.
    `packed`: a `ROW` for each; its first `NAMING` bytes tell it from the others.
    """

    ITEM: ClassVar[type[Model]]
    ROW: ClassVar[Struct]
    NAMING: ClassVar[int]
    LIMITS: ClassVar[tuple[int, int]]

    def __init__(self, data: Iterable[dict[str, Any]] = (), packed: bytes = b"") -> None:
        self.data = tuple(data)
        self.packed = packed

    @classmethod
    def read(cls, item: Any) -> tuple[dict[str, Any], bytes]:
        """One of plain data that has nothing unusual in it: as it is given, and its row. Else
        ValueError, KeyError or OSError: what is wrong, if anything, is for `ITEM` to tell."""
        raise NotImplementedError

    @classmethod
    def row_of(cls, item: Item) -> bytes:
        raise NotImplementedError

    @classmethod
    def fields_of(cls, row: bytes) -> dict[str, Any]:
        """What `row_of` was made of."""
        raise NotImplementedError

    @classmethod
    def label(cls, row: bytes) -> str:
        """What messages call it."""
        raise NotImplementedError

    @classmethod
    def of(cls, items: Iterable[Item]) -> Self:
        items = tuple(items)
        return cls((item.as_data() for item in items), b"".join(map(cls.row_of, items)))

    @classmethod
    def of_data(cls, items: Sequence[object]) -> Self:
        """Raises what `read` does."""
        least, most = cls.LIMITS
        if not least <= len(items) <= most:
            raise ValueError(items)
        data, packed = [], []
        for item in items:
            given, row = cls.read(item)
            data.append(given)
            packed.append(row)
        return cls(data, b"".join(packed))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        least, most = cls.LIMITS
        limits = Field(min_length=least or None, max_length=most, strict=False)
        one_by_one = handler.generate_schema(
            Annotated[tuple[cls.ITEM, ...], limits]  # type: ignore[name-defined]
        )
        return core_schema.no_info_wrap_validator_function(
            cls._parse,
            one_by_one,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda items: list(items.data), when_used="json"
            ),
        )

    @cached_property
    def rows(self) -> tuple[bytes, ...]:
        size = self.ROW.size
        return tuple([self.packed[at : at + size] for at in range(0, len(self.packed), size)])

    @cached_property
    def canonical(self) -> tuple[bytes, ...]:
        """The rows by what names them: alike for lists that are equal."""
        return tuple(sorted(self.rows))

    def place(self, naming: bytes) -> int | None:
        """The index of what these first bytes of a row name."""
        return self._places.get(naming)

    @cached_property
    def _places(self) -> dict[bytes, int]:
        return {row[: self.NAMING]: at for at, row in enumerate(self.rows)}

    def __len__(self) -> int:
        return len(self.data)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> Self: ...
    def __getitem__(self, at: int | slice) -> Item | Self:
        if isinstance(at, slice):
            return type(self)(self.data[at], b"".join(self.rows[at]))
        given = {
            name
            for name, field in self.ITEM.model_fields.items()
            if (field.alias or name) in self.data[at]
        }
        made: Any = self.ITEM.model_construct(given, **self.fields_of(self.rows[at]))
        return made  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[Item]:
        return (self[at] for at in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.packed == other.packed or self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)}>"

    @classmethod
    def _parse(cls, value: object, handler: Callable[[object], Sequence[Item]]) -> Self:
        if isinstance(value, cls):
            return value
        made = cls._read(value) or cls.of(handler(value))
        made._refuse_twice()
        return made

    @classmethod
    def _read(cls, value: object) -> Self | None:
        if not isinstance(value, list | tuple):
            return None
        try:
            return cls.of_data(value)
        except (ValueError, KeyError, OSError):
            return None

    def _refuse_twice(self) -> None:
        names = [row[: self.NAMING] for row in self.rows]
        if len(set(names)) == len(names):
            return
        first: dict[bytes, int] = {}
        for at, name in enumerate(names):
            if name in first:
                raise wrong(
                    f"{self.label(self.rows[at])} stands twice",
                    f"already in [{first[name]}] of the list",
                    (at,),
                )
            first[name] = at
