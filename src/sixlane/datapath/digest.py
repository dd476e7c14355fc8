# SPDX-License-Identifier: Apache-2.0
"""Names for what tables are made of."""

from hashlib import sha256


def digest_of(*parts: bytes) -> int:
    """64 bits, not 0, that name a sequence of bytes objects."""
    whole = sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return int.from_bytes(whole.digest()[:8]) or 1
