# SPDX-License-Identifier: Apache-2.0
"""The same batches for the same seed, each by itself: a difference is found again by its batch."""

import random
from collections.abc import Sequence
from functools import cache

from sixlane.rfc.rfc7915 import Translator
from tests.diff.configurations import CONFIGURATIONS
from tests.diff.strategies import build_packet
from tests.fuzz import corpus
from tests.fuzz.mutating import BYTES_MAX, mutant

BATCH = 200
_BUILT = 40  # of a batch; the others are mutants
_A_CONFIGURATION = 50  # batches, before the next one is put in force


def configuration_of(batch: int) -> int:
    return batch // _A_CONFIGURATION % len(CONFIGURATIONS)


def packets_of(seed: int, batch: int) -> list[bytes]:
    """Packets of `build_packet`, and mutants of them and of the corpus."""
    rng = random.Random(f"{seed} {batch}")
    number = configuration_of(batch)
    built = _built(rng, CONFIGURATIONS[number])
    pool = [*built, *_corpus_of(number)]
    mutants = (mutant(rng, rng.choice(pool), rng.choice(pool)) for _ in range(BATCH - _BUILT))
    return [*built, *mutants]


def _built(rng: random.Random, translator: Translator) -> list[bytes]:
    return [build_packet(rng, translator)[:BYTES_MAX] for _ in range(_BUILT)]


@cache
def _corpus_of(number: int) -> Sequence[bytes]:
    return [kept.packet for kept in corpus.read() if kept.configuration == number]
