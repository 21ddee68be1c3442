"""The pictures of a run, written as SVG text: bars per contestant, and latency curves."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10

WIDTH, MARGIN, LABELS = 800, 24, 280
LINE = 15
BAR, GAP, TITLE = 20, 8, 34
CURVE_HEIGHT = 260
OURS, PEER, INK, PALE = "#2563a8", "#a9b4c0", "#1f2933", "#d5dbe1"
CURVES = ("#2563a8", "#d98324", "#a83232", "#4d8a57")


def bars_picture(panels: Mapping[str, Mapping[str, float]], ours: frozenset[str]) -> str:
    """Horizontal bars: title -> contestant -> rate per second. Each panel has a scale of its own."""
    parts, top = [], float(MARGIN)
    for title, rates in panels.items():
        parts.append(_heading(top + 14, title))
        top += TITLE - GAP
        longest = max(rates.values(), default=0) or 1
        for name, rate in rates.items():
            parts += _bar(top, name, rate, rate / longest, OURS if name in ours else PEER)
            top += BAR + GAP
        top += GAP
    return _document(parts, top + MARGIN / 2)


def _bar(top: float, name: str, rate: float, part: float, colour: str) -> list[str]:
    width = max(1.0, part * (WIDTH - LABELS - MARGIN - 80))
    middle = top + BAR * 0.7
    return [
        _text(LABELS - 8, middle, name, anchor="end"),
        f'<rect x="{LABELS}" y="{top:.0f}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
        _text(LABELS + width + 6, middle, f"{rate:,.0f}/s"),
    ]


def curves_picture(title: str, curves: Mapping[str, Mapping[str, float]]) -> str:
    """Latency in milliseconds (log scale) over percentiles: name -> percentile -> milliseconds."""
    percents = list(dict.fromkeys(percent for curve in curves.values() for percent in curve))
    values = [value for curve in curves.values() for value in curve.values() if value > 0] or [1.0]
    floor, ceiling = _decade(min(values)), _decade(max(values)) + 1
    left, right, top, bottom = 84, WIDTH - 190, MARGIN + TITLE, MARGIN + TITLE + CURVE_HEIGHT

    def place(index: int, value: float) -> tuple[float, float]:
        x = left + (right - left) * index / max(1, len(percents) - 1)
        y = bottom - (bottom - top) * (log10(max(value, 10**floor)) - floor) / (ceiling - floor)
        return x, y

    parts = [_heading(MARGIN + 14, title)]
    for power in range(floor, ceiling + 1):
        _, y = place(0, 10.0**power)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{PALE}"/>')
        parts.append(_text(left - 8, y + 4, f"{10.0**power:g} ms", anchor="end"))
    for index, percent in enumerate(percents):
        name = "max" if percent == "100" else f"p{percent}"
        parts.append(_text(place(index, 1)[0], bottom + 18, name, anchor="middle"))
    drawn = [
        ([place(percents.index(percent), value) for percent, value in curve.items()], name, colour)
        for (name, curve), colour in zip(curves.items(), CURVES, strict=False)
    ]
    return _document(parts + _lines(drawn), bottom + 40)


def _lines(drawn: Sequence[tuple[Sequence[tuple[float, float]], str, str]]) -> list[str]:
    """The curves, from the highest end to the lowest, their names beside the ends and never upon each other."""
    parts, free_from = [], 0.0
    for points, name, colour in sorted(drawn, key=lambda one: one[0][-1][1]):
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        x, y = points[-1][0], max(points[-1][1], free_from)
        free_from = y + LINE
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(x + 8, y + 4, name, colour=colour))
    return parts


def _decade(value: float) -> int:
    return int(log10(value) // 1)


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _heading(y: float, text: str) -> str:
    return f'<text x="{MARGIN}" y="{y:.1f}" font-weight="600" fill="{INK}">{escape(text)}</text>'


def _document(parts: Sequence[str], height: float) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'font-family="system-ui, sans-serif" font-size="13">'
    )
    return "\n".join([head, '<rect width="100%" height="100%" fill="#ffffff"/>', *parts, "</svg>", ""])
