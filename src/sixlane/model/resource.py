# SPDX-License-Identifier: Apache-2.0
"""What all kinds of resources share."""

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel

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

    @classmethod
    def _keys(cls) -> frozenset[str]:
        keys = cls.__dict__.get("_known_keys")
        if keys is None:
            fields = cls.model_fields.items()
            keys = frozenset(field.alias or name for name, field in fields)
            type.__setattr__(cls, "_known_keys", keys)
        return keys


def checked_name(longest: int) -> Any:
    """A type for names: a-z, 0-9 and inner dashes, at most `longest` of them."""

    def check(name: str) -> str:
        if not _NAME.fullmatch(name) or len(name) > longest:
            raise wrong(
                f"{shown(name)} is not a name",
                f"1 to {longest} of a-z, 0-9 and -, a dash neither first nor last",
            )
        return name

    return AfterValidator(check)


class Metadata(Model):
    """What a resource is called."""

    name: Annotated[str, checked_name(63)]


class Resource(Model):
    """One document. A kind adds `kind`, a literal, and `spec`."""

    api_version: Literal["sixlane.dev/v1alpha1"]
    kind: str
    metadata: Metadata

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def key(self) -> Key:
        return Key(self.kind, self.metadata.name)

    def as_data(self) -> dict[str, Any]:
        """Plain data, as JSON and YAML take it, with only the keys that were given.

        `parse_resource` makes an equal resource of it.
        """
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
