"""The page in a real browser, from a file: every chart is drawn, fits its window, and follows what is chosen."""

import re
import shutil
import subprocess
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest

from report.figures import Figures
from report.page import page
from tests.unit.report.made_up import figures

# Debian's, Ubuntu's, Google's.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 120
SIZES = [(390, 844), (1024, 768), (1600, 1000)]
HOSTILE = "<script>document.title = 'broken'</script>"
CHARTS = 7

# What a test wants to know stands in the document once the charts are drawn.
PROBE = """
<script>
addEventListener("error", (event) => document.body.setAttribute("data-error", event.message));
addEventListener("unhandledrejection", (event) => document.body.setAttribute("data-error", event.reason));
addEventListener("securitypolicyviolation", (event) => document.body.setAttribute("data-asked", event.blockedURI));
new MutationObserver(() => {
  document.body.setAttribute("data-width", document.documentElement.scrollWidth);
}).observe(document.documentElement, { attributes: true });
</script>
"""


def browser() -> str:
    """The program of a browser of this machine."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"none of {', '.join(BROWSERS)} is on PATH: install one (Debian: apt-get install chromium)"
    return found


def opened(
    folder: Path,
    shown: Figures,
    *,
    size: tuple[int, int] = SIZES[1],
    chosen: dict[str, str] | None = None,
    dark: bool = False,
) -> str:
    """The document of the page, opened from a file, once its charts are drawn."""
    file = folder / "report.html"
    file.write_text(page(shown, [], datetime(2024, 7, 1, tzinfo=UTC)).replace("</head>", f"{PROBE}</head>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    options += [f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}"]
    options += ["--blink-settings=preferredColorScheme=0"] if dark else []
    address = f"{file.as_uri()}#{urlencode(chosen or {})}"
    dumped = subprocess.run([browser(), *options, address], check=True, capture_output=True, text=True, timeout=SECONDS)
    document = dumped.stdout
    assert attribute(document, "drawn") == "yes"
    assert attribute(document, "error") is None
    assert attribute(document, "asked") is None, "the page has asked for something"
    return document


def attribute(document: str, name: str) -> str | None:
    """What the page's script or the probe has noted on the document or its body."""
    tags = " ".join(re.findall(r"<(?:html|body)[^>]*>", document))
    found: str | None = next(iter(re.findall(rf'data-{name}="([^"]*)"', tags)), None)
    return found


def number_of_charts(document: str) -> int:
    """How many charts are drawn."""
    return len(re.findall(r'<svg[^>]*class="marks"', document))


def marks(document: str, chart: str, kind: str) -> list[str]:
    """What a chart's marks say of themselves."""
    place = document.partition(f'id="chart-{chart}"')[2].partition("</figure>")[0]
    return re.findall(rf'aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="{kind}', place)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]} wide")
def test_every_chart_is_drawn_and_nothing_is_wider_than_the_window(size: tuple[int, int], tmp_path: Path) -> None:
    document = opened(tmp_path, figures(90, ["rock", HOSTILE, *(f"genre {n}" for n in range(498))]), size=size)
    assert number_of_charts(document) == CHARTS
    assert len(marks(document, "plays", "bar")) == 90
    assert len(marks(document, "weekdays", "rect")) == 7 * 24
    assert int(attribute(document, "width") or 0) <= max(size[0], 500), "a window of Chromium's has at least 500 pixels"
    assert "<title>Music Streams" in document


def test_the_charts_follow_a_link_to_what_was_chosen(tmp_path: Path) -> None:
    shown = figures(20, ["rock", HOSTILE], without=[date(2024, 6, 20)])
    chosen = {"first": "2024-06-19", "last": "2024-06-21", "genre": HOSTILE}
    document = opened(tmp_path, shown, chosen=chosen, dark=True)
    dates = (date(2024, 6, 19), date(2024, 6, 21))
    plays = [row.plays for row in shown.genres if row.track_genre == HOSTILE and row.listen_date in dates]
    assert [bar.rpartition("Plays: ")[2] for bar in marks(document, "plays", "bar")] == [f"{n:,}" for n in plays]
    assert attribute(document, "scheme") == "dark"


@pytest.mark.parametrize("shown", [Figures([], []), figures(1, ["unknown"])], ids=["empty marts", "one day"])
def test_little_is_drawn_too(shown: Figures, tmp_path: Path) -> None:
    document = opened(tmp_path, shown)
    assert number_of_charts(document) == (CHARTS if shown.genres else 0)
