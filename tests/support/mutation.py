"""Bodies that nearly are what a protocol takes: seeds, damaged at random, the same ones in every run.

``make test`` tries 10,000 of them a protocol; FUZZ_CASES asks for more (``make fuzz``: a million).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence

CASES = int(os.environ.get("FUZZ_CASES", "10000"))
_WORDS = (
    *(
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1",
        b"0",
        b"9223372036854775808",
        b"1.5",
        b'""',
        b"[]",
        b"{}",
    ),
    *(b"\x00", b"\xff", b"\xed\xa0\x80", b"[[[[[[[[", b'"\\ud800"', b"4294967295", b"\xff\xff\xff\xff", b"\x00" * 8),
)


def mutated(seeds: Sequence[bytes], cases: int = CASES, seed: int = 20_261_120) -> Iterator[bytes]:
    """Yield damaged bodies: of one seed, or the halves of two, with one to four changes each."""
    chance = random.Random(seed)
    for _ in range(cases):
        body = bytearray(chance.choice(seeds))
        if chance.random() < 0.1:
            other = chance.choice(seeds)
            body[chance.randint(0, len(body)) :] = other[chance.randint(0, len(other)) :]
        for _ in range(chance.choice((1, 1, 1, 2, 4))):
            _damage(body, chance)
        yield bytes(body)


def _damage(body: bytearray, chance: random.Random) -> None:
    at = chance.randint(0, len(body))
    end = min(len(body), at + chance.choice((1, 1, 2, 4, 16)))
    kind = chance.randrange(6)
    if kind == 0 and at < len(body):
        body[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del body[at:end]
    elif kind == 2:
        body[at:at] = body[at:end]
    elif kind == 3:
        body[at:end] = chance.choice(_WORDS)
    elif kind == 4:
        body[at:at] = chance.choice(_WORDS)
    else:
        del body[at:]
