"""Parts of a report that are made after it: each is put into the page, and into its verdict, when it is made."""

import hashlib
import html
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..checks.finding import Finding, headline, ordered
from ..costs.cost import Cost
from ..costs.fingerprint import fingerprint
from ..runtime.files import write_whole
from ..sampling.draws import Draws
from .markup import Section, section
from .page_size import MOST_PAGE_BYTES, within_limit

_WORDS = {"ok": "Fine", "note": "Note", "care": "Take care", "bad": "Problem"}
_RUN = re.compile(r"<!-- parts of the cost (\w+), the draws (\w+) -->\n")
_END = "<!-- end of the parts -->"
_VERDICT = re.compile(r'(?s)<section class="verdict \w+">.*?</section>')
_ITEM = re.compile(r'(?s)<li class="(\w+)" data-check="(.*?)"><span class="tag">.*?</span> (.*?)</li>')


def verdict(found: list[Finding]) -> str:
    """The box on top of a page."""
    level, sentence = headline(found)
    items = "\n".join(
        f'<li class="{one.level}" data-check="{html.escape(one.check)}"><span class="tag">{_WORDS[one.level]}</span> '
        f"{html.escape(one.full)}</li>"
        for one in found
    )
    return f'<section class="verdict {level}">\n<h2>{html.escape(sentence)}</h2>\n<ul>\n{items}\n</ul>\n</section>'


def of_sections(found: list[Finding], sections: Iterable[Section]) -> list[Finding]:
    """The verdicts of sections that are worse than that of the findings, such as a coverage that was stored."""
    rank = {"ok": 0, "care": 1, "bad": 2}
    sentences = {"care": "needs care", "bad": "says not to rely on this result"}
    level, _ = headline(found)
    return [
        Finding(part.level, f"{part.title}: the section below {sentences[part.level]}.", check=part.title.lower())
        for part in sections
        if rank[part.level] > rank[level]
    ]


def parts_of(cost: Cost, draws: Draws, sections: Iterable[Section]) -> list[str]:
    """The parts of a page on these draws, in marks by which `add_part` finds them."""
    start = f"<!-- parts of the cost {fingerprint(cost)}, the draws {digest(draws)} -->"
    return [start, *map(_marked, sections), _END]


def add_part(path: Path, part: Section, cost: Cost, draws: Draws | None = None) -> bool:
    """Puts a part into a report that is written, in the place of an earlier one of its title, and into the verdict.

    Args:
        path: of the page; nothing is done where there is none.
        part: made with this cost.
        cost: of which the report has to be.
        draws: of which the report has to be, where the part is on draws.

    Returns:
        Whether the page has it now; not where it is a report on another cost or other draws.
    """
    if not path.exists():
        return False
    text = path.read_text("utf-8")
    made_of = _RUN.search(text)
    if made_of is None or made_of[1] != fingerprint(cost) or (draws is not None and made_of[2] != digest(draws)):
        return False
    start, end = made_of.end(), text.index(_END)
    old, new = re.compile(f"(?s){re.escape(_mark(part))}.*?{re.escape(_mark(part, 'end of '))}"), _marked(part)
    inside = text[start:end]
    (new,), _ = within_limit([new], len(text.encode()) - len("".join(old.findall(inside)).encode()), MOST_PAGE_BYTES)
    # A function, for a text would be read for backslashes.
    inside = old.sub(lambda _: new, inside) if old.search(inside) else f"{inside}{new}\n"
    text = _judged_anew(text[:start] + inside + text[end:], part)
    write_whole(path, text)
    return True


def digest(draws: Draws) -> str:
    """Draws by their numbers."""
    return hashlib.sha256(np.ascontiguousarray(draws.theta, np.float32).tobytes()).hexdigest()[:16]


def _judged_anew(text: str, part: Section) -> str:
    """The page with a verdict that is no better than that of the part."""
    box = _VERDICT.search(text)
    assert box is not None, "a report has a verdict"
    items = [tuple(map(html.unescape, one)) for one in _ITEM.findall(box.group())]
    found = [Finding(level, said, check=check) for level, check, said in items if check != part.title.lower()]
    found = ordered([*of_sections(found, [part]), *found])
    return text[: box.start()] + verdict(found) + text[box.end() :]


def _marked(part: Section) -> str:
    return f"{_mark(part)}\n{section(part.title, part.body)}\n{_mark(part, 'end of ')}"


def _mark(part: Section, words: str = "") -> str:
    return f"<!-- {words}the part {html.escape(part.title)} -->"
