# SPDX-License-Identifier: Apache-2.0
"""docs/reference/conformance.md: the lines, and the tests that prove them.

`python -m tests.conformance` writes it. With `--check` it fails if the page is not current, if a
test names a line that there is not, or if a MUST or SHOULD of stateless translation has no test.
"""

import sys
from collections.abc import Iterator, Mapping

from tests.conformance.lines import CHAPTERS, STATELESS, Chapter, Line
from tests.conformance.marks import ROOT, Proofs, collect

PAGE = ROOT / "docs/reference/conformance.md"

_HEAD = """\
# Conformance

What the RFCs ask of a translator, a DNS64 and their clients, and the tests that prove it here.
Made by `python -m tests.conformance` from `tests/conformance/lines.py` and the tests' marks.

M: MUST, S: SHOULD, O: MAY. A section without an RFC is one of RFC 7915. Where the RFC leaves a
choice, the key of [Gateway](gateway.md) or [Dns64](dns64.md) that makes it stands in the line. A
test with parameters counts once; how many cases it has stands behind it. `tests/diff` proves
beside all of these that the data path does what the reference does.
"""

_COLUMNS = "| line | level | RFC | what it asks | proof |"


def page(proofs: Proofs) -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, _summary(proofs), *(_chapter(one, proofs) for one in CHAPTERS)])


def faults(proofs: Proofs) -> Iterator[str]:
    """What may not be, in words."""
    lines = {line.number: line for chapter in CHAPTERS for line in chapter.lines}
    for number in sorted(proofs.keys() - lines.keys()):
        yield f"{', '.join(proofs[number])}: there is no line {number}"
    for number in STATELESS:
        if lines[number].level != "O" and number not in proofs:
            yield f"line {number} has no test: {lines[number].text}"


def _summary(proofs: Proofs) -> str:
    rows = ["| chapter | lines | proved |", "|---|---|---|"]
    for chapter in CHAPTERS:
        numbers = [line.number for line in chapter.lines]
        proved = sum(number in proofs for number in numbers)
        rows.append(f"| {chapter.title} | {numbers[0]} to {numbers[-1]} | {proved} |")
    return "".join(f"{row}\n" for row in rows)


def _chapter(chapter: Chapter, proofs: Proofs) -> str:
    rows = [
        f"## {chapter.title}",
        "",
        "| line | level | RFC | what it asks | proof |",
        "|---|---|---|---|---|",
    ]
    rows += [_row(line, chapter, proofs) for line in chapter.lines]
    return "".join(f"{row}\n" for row in rows)


def _row(line: Line, chapter: Chapter, proofs: Proofs) -> str:
    setting = f" (`{line.setting}`)" if line.setting else ""
    state = _state(proofs.get(line.number, {}), chapter.later)
    return f"| {line.number} | {line.level} | {line.section} | {line.text}{setting} | {state} |"


def _state(tests: Mapping[str, int], later: bool) -> str:
    if not tests:
        return "not built yet" if later else "no test of its own"
    in_reference = all(test.startswith("unit/") for test in tests)
    who = "in the reference alone: " if later and in_reference else ""
    count = f"{who}proved by {len(tests)} test{'s' * (len(tests) > 1)}"
    names = [
        f"`{test}`" + (f", {cases} cases" if cases > 1 else "")
        for test, cases in sorted(tests.items())
    ]
    return "<br>".join([f"{count}:", *names])


def main() -> int:
    """Write it; with --check only say what is not as it should be."""
    proofs = collect()
    text = page(proofs)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    wrong = list(faults(proofs))
    if not PAGE.exists() or PAGE.read_text() != text:
        wrong.append(f"{PAGE.relative_to(ROOT)} is not current: python -m tests.conformance")
    for fault in wrong:
        print(fault, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
