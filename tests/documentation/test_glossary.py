"""Where a page first uses a word of the glossary that a newcomer does not know, it explains it or links there."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
# Words by which a page is told apart from plain English; prior, cost, beta and draws are explained on the Start page.
WORDS = {
    "amortized": "amortized",
    "credible sets?": "credible-set",
    "emulators?": "emulator",
    "effective sample size": "effective-sample-size",
    "feature costs?": "feature-cost",
    "Gibbs posteriors?": "gibbs-posterior",
    "marginal costs?": "marginal-cost",
    "misspecified": "misspecified",
    "nats": "nat",
    "noise floor": "noise-floor",
    "prior[- ]predictive": "prior-predictive",
    "R-hat": "r-hat",
    "replicate distances?": "replicate-distance",
    "SBC": "sbc",
}
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if page.parent.name != "reference"]
PAGES = [page for page in PAGES if page.name not in ("glossary.md", "reference.md", "extending.md")]


def prose(text: str) -> str:
    """Sentences as they are read: without code, headings, tables and links that lead elsewhere."""
    text = re.sub(r"(?ms)\A---\n.*?\n---\n|^\s*(`{3,}|~{3,}|:{3,}).*?^\s*\1|^ {4}.*?$|^#.*?$|^\s*[|<].*?$", "", text)
    return re.sub(r"`[^`]*`|!?\[[^\]]*\]\([^)]*\)|^\[[^\]]*\]: .*$", "", text, flags=re.M)


def unlinked(text: str) -> list[str]:
    """The words whose first appearance is neither a link to the glossary nor emphasised, as an explanation is."""
    links = {word: anchor for word, anchor in re.findall(r"(?m)^\[([^\]]+)\]: \S*glossary\.md#(\S+)$", text)}
    shown, missing = prose(text), []
    for word, anchor in WORDS.items():
        first = re.search(rf"(?<![\w/-])(?:\[({word})\]|(\*{word}\*)|{word}(?![\w-]))", shown)
        if first and not first.group(2) and links.get(first.group(1)) != anchor:
            missing.append(first.group())
    return missing


def test_what_is_not_linked_is_found() -> None:
    definition = "[nats]: glossary.md#nat\n"
    assert unlinked(f"# nats\n\n`nats` and\n\n```\nnats\n```\n1 [nats], 2 nats\n\n{definition}") == []
    assert unlinked("**nats** are units: 2 nats") == []
    assert unlinked(f"2 nats, 1 [nats]\n\n{definition}") == ["nats"]
    assert unlinked("1 [nats]\n\n[nats]: glossary.md#beta\n") == ["[nats]"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_first_appearances_are_linked(page: Path) -> None:
    assert unlinked(page.read_text("utf-8")) == []


def test_links_lead_to_words_of_the_glossary() -> None:
    headings = re.findall(r"(?m)^## (.+)$", (DOCS / "glossary.md").read_text("utf-8"))
    assert headings == sorted(headings, key=str.lower)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    assert set(WORDS.values()) <= anchors
    for page in PAGES:
        for link, anchor in re.findall(r"(?m)^\[[^\]]+\]: (\S*glossary\.md)#(\S+)$", page.read_text("utf-8")):
            assert (page.parent / link).resolve() == DOCS / "glossary.md"
            assert anchor in anchors
