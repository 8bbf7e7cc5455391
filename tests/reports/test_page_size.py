"""A page that would be too large leaves out its last pictures, and says which."""

from genbayes.reports.page import page
from genbayes.reports.page_size import MOST_PAGE_BYTES, within_limit


def figure(caption: str, size: int) -> str:
    return f'<figure><img src="data:image/png;base64,{"a" * size}">\n<figcaption>{caption}</figcaption></figure>'


PARTS = ["<p>text</p>" + figure("first", 300) + figure("second", 300), "<p>more</p>", figure("third", 300)]


def test_the_last_pictures_go_until_the_page_fits() -> None:
    whole = sum(map(len, PARTS))
    assert within_limit(PARTS, 10, whole + 20) == (PARTS, 0)
    kept, left_out = within_limit(PARTS, 10, whole - 200)
    assert left_out == 1
    assert kept[:2] == PARTS[:2]
    assert kept[2] == '<p class="muted">Left out, for the page would be too large: third</p>'
    kept, left_out = within_limit(PARTS, 10, 600)
    assert left_out == 2
    assert "first" in kept[0]
    assert "too large: second" in kept[0]
    assert sum(len(part) + 1 for part in kept) + 10 <= 600


def test_nothing_but_pictures_is_left_out() -> None:
    kept, left_out = within_limit(PARTS, 10, 1)
    assert left_out == 3
    assert "<p>text</p>" in kept[0]
    assert kept[1] == "<p>more</p>"


def test_the_page_says_so_on_top(tmp_path) -> None:
    large = [figure(name, 900_000) for name in ("first", "second", "third")]
    text = page(tmp_path / "page.html", "Title", "", [], large).read_text("utf-8")
    assert "1 picture(s) were left out, for the page would have more than 2 MB" in text
    assert "too large: third" in text
    assert len(text.encode()) <= MOST_PAGE_BYTES
