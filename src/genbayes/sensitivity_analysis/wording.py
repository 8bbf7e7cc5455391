"""What a sensitivity analysis says in words: tables of 80 columns, and sentences of guidance."""

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

_WIDTH = 80
# Shifts in posterior standard deviations: what moves by less than half of one moves within the posterior.
_SMALL, _LARGE = 0.5, 1.0
# Misfit that is told: a normal prediction is 1.8 distances of two predictions from what lies two standard deviations
# off its mean.
_FAR = 1.8


def table_text(found: Any, *, short: bool = True) -> str:
    """The tables and the guidance of a `Sensitivity`, long names cut for 80 columns if `short`."""
    cut = _cut(short)
    given = found.variants[0]
    how = "new runs" if found.resimulated else "the networks"
    lines = [
        f"Distance as given: {given.distance.name}, beta {given.beta:.4g}.",
        f"{len(given.draws)} draws a variant; predictions from {how}.",
        "",
        *_aligned(
            ("part of the output", "share of the cost", "off", "apart", "misfit"),
            [
                (cut(g.name, 34), f"{100 * share:.0f} %", f"{off:.3g}", f"{apart:.3g}", f"{misfit:.2f}")
                for g, share, off, apart, misfit in zip(
                    found.groups,
                    found.share,
                    found.distance_to_observation[0],
                    found.spread,
                    found.misfit[0],
                    strict=True,
                )
            ],
        ),
        *textwrap.wrap(
            "off: predictions from the observation; apart: two predictions from each other; both in distances of two "
            "runs at one parameter. misfit: off / apart.",
            _WIDTH,
        ),
        "",
        *_aligned(("variant", "beta", "largest shift, sd", "width", "worst misfit"), variant_rows(found, short=short)),
        "",
    ]
    for sentence in found.guidance:
        lines += textwrap.wrap(f"- {sentence}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    if not found.outcome.ok:
        lines += ["", f"{len(found.outcome.messages)} warning(s), the first:"]
        lines += textwrap.wrap(found.outcome.messages[0], _WIDTH, break_on_hyphens=False)
    return "\n".join(lines)


def variant_rows(found: Any, *, short: bool = False) -> list[tuple[str, str, str, str, str]]:
    """One row a variant: name, beta, largest shift, range of width ratios, the worst part of its predictions.

    Args:
        found: the sensitivity analysis.
        short: whether long names are cut, for lines of text; a table of a page has room for them.
    """
    rows = []
    cut = _cut(short)
    for i, variant in enumerate(found.variants):
        k = int(np.argmax(np.abs(found.shift[i])))
        shift = "" if i == 0 else f"{cut(found.names[k], 11)} {found.shift[i, k]:+.2f}"
        low, high = found.width_ratio[i].min(), found.width_ratio[i].max()
        width = "" if i == 0 else f"{low:.2f}-{high:.2f}"
        worst = int(np.argmax(found.misfit[i]))
        off = f"{found.misfit[i, worst]:.2f} {cut(found.groups[worst].name, 9)}"
        rows.append((cut(variant.name, 22), f"{variant.beta:.3g}", shift, width, off))
    return rows


def guidance(found: Any) -> tuple[str, ...]:
    """What to conclude."""
    return tuple(text for text in (*_misfit(found), *_influence(found), *_distances(found), *_given_up(found)) if text)


def _misfit(found: Any) -> list[str]:
    """Which parts make the misfit, and what leaving them out does."""
    misfit = found.misfit[0]
    far = [i for i in np.argsort(-misfit) if misfit[i] >= _FAR]
    sentences = []
    if not far:
        worst = int(np.argmax(misfit))
        sentences.append(
            f"No part of the observation lies outside the predictions (the farthest, {found.groups[worst].name}, is "
            f"{misfit[worst]:.2g} times as far from them as they are from each other): there is no misfit at this beta."
        )
    if found.spread.max() > 3:
        wide = int(np.argmax(found.spread))
        sentences.append(
            f"The predictions themselves are up to {found.spread[wide]:.2g} replicate distances apart "
            f"({found.groups[wide].name}): the posterior is wide, and a larger beta may show misfits that this hides."
        )
    for i in far[:3]:
        group = found.groups[i]
        sentences.append(
            f"{group.name} makes {100 * found.share[i]:.0f} % of the cost and is {misfit[i]:.2g} times as far from the "
            f"predictions as they are from each other{_left_out(found, group.name)}."
        )
    if len(far) > 3:
        names = ", ".join(found.groups[i].name for i in far[3:])
        sentences.append(f"Outside the predictions ({_FAR:g} times or more) are also: {names}.")
    return sentences


def _left_out(found: Any, name: str) -> str:
    i = _index(found, f"without {name}")
    if i is None:
        return ""
    largest = _largest(found, i)
    if largest is None or abs(found.shift[i, largest]) < _SMALL:
        return f": leaving it out moves no posterior mean by {_SMALL:g} posterior sd, so the answer does not hang on it"
    others = [
        found.distance_to_observation[i, j] / found.distance_to_observation[0, j]
        for j, g in enumerate(found.groups)
        if g.name != name
    ]
    better = f", and the rest is reproduced better (to {min(others):.2f} of the distance)" if min(others) < 0.8 else ""
    return f": leaving it out moves {_moved(found, i, largest)}{better}"


def _influence(found: Any) -> list[str]:
    """The part on which the posterior leans most, where the misfit has not named it."""
    out = [(i, v) for i, v in enumerate(found.variants) if v.kind == "left out"]
    if not out:
        return []
    change = [float(np.max(np.log(found.width_ratio[i]))) for i, _ in out]
    i, variant = out[int(np.argmax(change))]
    k = int(np.argmax(found.width_ratio[i]))
    if found.width_ratio[i, k] < 1.5:
        return ["No single part of the output carries the posterior: without any one of them no width grows by half."]
    return [
        f"The posterior leans most on {variant.name.removeprefix('without ')}: without it {found.names[k]} is "
        f"{found.width_ratio[i, k]:.2g} times as wide."
    ]


def _distances(found: Any) -> list[str]:
    """What the choice of the distance does."""
    kinds = [i for i, v in enumerate(found.variants) if v.kind == "distance"]
    if not kinds:
        return []
    best = max(kinds, key=lambda i: np.max(np.abs(found.shift[i])))
    k = _largest(found, best)
    names = ", ".join(found.variants[i].name for i in kinds)
    if k is None or abs(found.shift[best, k]) < _SMALL:
        size = np.max(np.abs(found.shift[kinds]))
        return [f"Other distances ({names}) move no posterior mean by more than {size:.2g} posterior sd."]
    text = f"{found.variants[best].name} instead of the given distance moves {_moved(found, best, k)}"
    if abs(found.shift[best, k]) < _LARGE:
        return [f"{text}; that is the most that another distance does."]
    return [f"{text}: say why yours is the right one, or report both."]


def _given_up(found: Any) -> list[str]:
    """A robust distance that fits the rest better by giving up a part names the part that does not belong."""
    sentences = []
    for i, variant in enumerate(found.variants):
        if variant.kind != "distance" or not variant.distance.name.startswith(("capped", "huber")):
            continue
        ratio = found.distance_to_observation[i] / found.distance_to_observation[0]
        j = int(np.argmax(ratio))
        rest = np.delete(np.arange(len(ratio)), j)
        if not len(rest) or ratio[j] < 1.2 or found.misfit[i, j] < _FAR:
            continue
        before, after = found.misfit[0, rest].max(), found.misfit[i, rest].max()
        if after < 0.9 * before:
            sentences.append(
                f"{variant.name} gives up {found.groups[j].name} (misfit {found.misfit[0, j]:.2g} to "
                f"{found.misfit[i, j]:.2g}) and reproduces the rest better (the worst from {before:.2g} to {after:.2g})"
                ": look at that part first, for a unit, an artefact, or something that the simulator lacks."
            )
    return sentences[-1:]


def _largest(found: Any, i: int) -> int | None:
    """The parameter that moves most, if by more than three Monte Carlo errors (from few chains)."""
    k = int(np.argmax(np.abs(found.shift[i])))
    return k if abs(found.shift[i, k]) > 3 * found.shift_error[i, k] else None


def _moved(found: Any, i: int, k: int) -> str:
    return (
        f"{found.names[k]} by {found.shift[i, k]:+.2g} posterior sd (Monte Carlo error {found.shift_error[i, k]:.1g})"
    )


def _index(found: Any, name: str) -> int | None:
    names = [variant.name for variant in found.variants]
    return names.index(name) if name in names else None


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else name[: length - 1] + "…"


def _cut(short: bool) -> Callable[[str, int], str]:
    """The function that cuts a name to a length, or leaves it as it is."""
    return _short if short else lambda name, _: name


def _aligned(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """First column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in (header, *rows)
    ]
