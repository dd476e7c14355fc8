# SPDX-License-Identifier: Apache-2.0
"""Plain data as YAML that reads the same under version 1.1 and 1.2, by us and by other tools."""

from typing import Any

import yaml

from sixlane.sources import yaml12

try:
    from yaml import CSafeDumper as _SafeDumper
except ImportError:  # PyYAML built without libyaml: the same, 10 times slower
    from yaml import SafeDumper as _SafeDumper  # type: ignore[assignment]


_YAML11 = _SafeDumper.yaml_implicit_resolvers


class _Dumper(_SafeDumper):
    """Text that either version would take for something else stands in quotes.

    PyYAML knows 1.1 only: it would write the name 1e3 without quotes, which 1.2 reads as a number.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [*yaml12.RESOLVERS.get(first, []), *_YAML11.get(first, [])]
        for first in {*yaml12.RESOLVERS, *_YAML11}
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(data: Any) -> str:
    """One document, keys in the order given."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
