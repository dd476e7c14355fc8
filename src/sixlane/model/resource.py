# SPDX-License-Identifier: Apache-2.0
"""What all kinds of resources share."""

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from sixlane.model.problem import likely, shown, wrong

API_VERSION = "sixlane.dev/v1alpha1"

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


class Key(NamedTuple):
    """What names a resource: its kind and its name."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Model(BaseModel):
    """Immutable; camelCase keys outside, snake_case attributes inside; unknown keys are errors."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _know_each_key(cls, data: Any) -> Any:
        # pydantic's own extra="forbid" cannot say which key was meant.
        if isinstance(data, dict):
            known = cls._keys()
            for key in data:
                if key not in known:
                    raise wrong(f"unknown key {shown(key)}", likely(key, known), (str(key),))
        return data

    def as_data(self) -> dict[str, Any]:
        """Plain data, as JSON and YAML take it, with only the keys that were given.

        What parses one makes an equal one of it.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)

    @classmethod
    def _keys(cls) -> frozenset[str]:
        keys = cls.__dict__.get("_known_keys")
        if keys is None:
            fields = cls.model_fields.items()
            keys = frozenset(field.alias or name for name, field in fields)
            type.__setattr__(cls, "_known_keys", keys)
        return keys


class SchemaGenerator(GenerateJsonSchema):
    """JSON schemas of models: defaults that are no JSON are told by the fields themselves."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012
        *GenerateJsonSchema.ignored_warning_kinds,
        "non-serializable-default",
    }


def checked_name(longest: int) -> tuple[Any, Any]:
    """Makes a type of str for names: a-z, 0-9 and inner dashes, at most `longest` of them."""

    def check(name: str) -> str:
        if not _NAME.fullmatch(name) or len(name) > longest:
            raise wrong(
                f"{shown(name)} is not a name",
                f"1 to {longest} of a-z, 0-9 and -, a dash neither first nor last",
            )
        return name

    known: dict[str, Any] = {"pattern": f"^{_NAME.pattern}$", "minLength": 1, "maxLength": longest}
    return AfterValidator(check), Field(json_schema_extra=known, examples=["edge"])


def _ignored(what: str) -> tuple[Any, Any]:
    """What the agent adds to a resource; it may come back, and says nothing then."""
    return (
        PlainValidator(lambda _: None, json_schema_input_type=Any),
        Field(default=None, exclude=True, description=f"{what} The agent's; not looked at."),
    )


class Metadata(Model):
    """What a resource is called, and which version of it is meant."""

    name: Annotated[str, *checked_name(63)]
    generation: Annotated[None, *_ignored("How often the spec was changed.")] = None
    resource_version: Annotated[
        str | None,
        Field(
            exclude=True,
            description="The version that the change is meant for, as the agent told it; left out "
            "or null: whatever there is.",
            examples=["17"],
        ),
    ] = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Metadata) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


class Resource(Model):
    """One document. A kind adds `kind`, a literal, and `spec`.

    Two are equal that ask for the same; `status` and what the agent adds to `metadata` ask for
    nothing.
    """

    api_version: Literal["sixlane.dev/v1alpha1"]
    kind: str
    metadata: Metadata
    spec: Any
    status: Annotated[None, *_ignored("How it does.")] = None

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Resource) and self.key == other.key and self.spec == other.spec
        )

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def key(self) -> Key:
        return Key(self.kind, self.metadata.name)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and may surprise, one line each."""
        return ()
