"""A picture of ratios: horizontal bars on a logarithmic scale, with the spread of each, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10

WIDTH, LABEL, ROW, TOP = 900, 380, 26, 70
SCALE = WIDTH - LABEL - 120
LEGEND = "how many times better, logarithmic; green: Celeriac better, brown: worse; thin line: half of the pairs"
BETTER, WORSE = "#2a7f62", "#b4542b"


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` says how many times better Celeriac is; below 1 the other is better. `low` and `high` are the spread."""

    label: str
    value: float
    low: float
    high: float


def picture(title: str, bars: Sequence[Bar]) -> str:
    """Bars start at 1, where both are equal. To the right of 1 Celeriac is better, to the left worse."""
    lowest = min(-0.5, *(log10(bar.low) for bar in bars))
    highest = max(0.5, *(log10(bar.high) for bar in bars))

    def x(value: float) -> float:
        return LABEL + (log10(value) - lowest) / (highest - lowest) * SCALE

    height = TOP + ROW * len(bars) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        '<g font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="16" y="46" fill="#555555">{LEGEND}</text>',
    ]
    for row, bar in enumerate(bars):
        y = TOP + ROW * row
        left, right = sorted((x(1), x(bar.value)))
        color = BETTER if bar.value >= 1 else WORSE
        parts += [
            f'<text x="{LABEL - 10}" y="{y + 14}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect x="{left:.1f}" y="{y + 3}" width="{max(1, right - left):.1f}" height="14" fill="{color}"/>',
            f'<line x1="{x(bar.low):.1f}" x2="{x(bar.high):.1f}" y1="{y + 10}" y2="{y + 10}" stroke="#111111"/>',
            f'<text x="{max(right, x(bar.high)) + 8:.1f}" y="{y + 14}">{bar.value:.2g}</text>',
        ]
    middle = x(1)
    parts += [
        f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{TOP - 6}" y2="{height - 16}" stroke="#999999"/>',
        f'<text x="{middle:.1f}" y="{TOP - 10}" text-anchor="middle" fill="#555555">equal</text>',
        "</g></svg>",
    ]
    return "\n".join(parts) + "\n"
