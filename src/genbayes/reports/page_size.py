"""A page that can be sent and opened anywhere: where it would be too large, pictures are left out, and named."""

import re
from collections.abc import Sequence

# Bytes of a whole page. The explorer has a megabyte of numbers at most (`explorer.markup.MOST_BYTES`).
MOST_PAGE_BYTES = 2_000_000
_FIGURE = re.compile(r'(?s)<figure>(?:(?!</figure>).)*?src="data:image/.*?</figure>')
_CAPTION = re.compile(r"(?s)<figcaption>(.*?)</figcaption>")


def within_limit(parts: Sequence[str], others: int, most: int = MOST_PAGE_BYTES) -> tuple[list[str], int]:
    """The parts of a page without as many of their last pictures as make it too large.

    In the place of each stands its caption, and why it is missing.

    Args:
        parts: HTML.
        others: bytes of the rest of the page.
        most: bytes that it may have.

    Returns:
        The parts; how many pictures were left out.
    """
    kept, left_out = list(parts), 0
    size = others + sum(len(part.encode()) + 1 for part in kept)
    for i in reversed(range(len(kept))):
        for found in reversed(list(_FIGURE.finditer(kept[i]))):
            if size <= most:
                return kept, left_out
            caption = _CAPTION.search(found.group())
            named = caption.group(1) if caption else "a picture"
            text = f'<p class="muted">Left out, for the page would be too large: {named}</p>'
            kept[i] = kept[i][: found.start()] + text + kept[i][found.end() :]
            size += len(text.encode()) - len(found.group().encode())
            left_out += 1
    return kept, left_out
