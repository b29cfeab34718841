"""Draw the CPU seconds of the contestants as bars, in SVG, which needs neither a browser nor fonts of our own."""

import itertools
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.figures import NAIVE, ONE_PROCESS, OUR_JOBS, Figures
from benchmarks.process_tree import Usage

WIDTH, LABEL_WIDTH, BAR_WIDTH = 860, 190, 420
BAR_HEIGHT, LINE_HEIGHT, HEADING_HEIGHT, MARGIN = 22, 32, 40, 20
COLORS = {ONE_PROCESS: ("#2f7fb8",), OUR_JOBS: ("#5b3fa0", "#7c5cc4", "#a68fdc"), NAIVE: ("#b8651b", "#d9822b")}


def chart(all_figures: Sequence[Figures]) -> str:
    """Return an SVG document: a group of bars for each number of events, each group with its own scale."""
    height_of_group = HEADING_HEIGHT + len(COLORS) * LINE_HEIGHT
    height = MARGIN * 2 + height_of_group * len(all_figures)
    tops = range(MARGIN, height - MARGIN, height_of_group)
    groups = [element for figures, top in zip(all_figures, tops, strict=True) for element in _group(figures, top)]
    document = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" role="img" aria-label="CPU seconds of the contestants">'
    )
    background = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([document, background, *groups, "</svg>\n"])


def _group(figures: Figures, top: int) -> Iterator[str]:
    yield _text(MARGIN, top + HEADING_HEIGHT / 2, f"{figures.events:,} events: CPU seconds", "bold")
    parts = {
        ONE_PROCESS: {ONE_PROCESS: figures.one_process()},
        OUR_JOBS: figures.jobs(),
        NAIVE: figures.naive(),
    }
    totals = {name: Usage.in_turn(steps.values()) for name, steps in parts.items()}
    scale = BAR_WIDTH / max(total.cpu_seconds for total in totals.values())
    for line, (name, steps) in enumerate(parts.items()):
        y = top + HEADING_HEIGHT + line * LINE_HEIGHT
        baseline = y + BAR_HEIGHT * 0.7
        yield _text(MARGIN, baseline, name)
        x = float(LABEL_WIDTH)
        for color, (step, usage) in zip(itertools.cycle(COLORS[name]), steps.items(), strict=False):
            width = usage.cpu_seconds * scale
            yield (
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}" fill="{color}">'
                f"<title>{escape(step)}: {usage.cpu_seconds:.1f} CPU seconds</title></rect>"
            )
            x += width
        total = totals[name]
        ratio = total.cpu_seconds / totals[ONE_PROCESS].cpu_seconds
        yield _text(x + 8, baseline, f"{total.cpu_seconds:.1f} s, {ratio:.1f} times, {total.peak_bytes / 1e9:.2f} GB")


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" fill="#1a1a1a">{escape(text)}</text>'
