"""The table and the chart show what was measured, and each ratio stands beside its limit."""

import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from benchmarks.chart import chart
from benchmarks.contestants import NAIVE_SCRIPTS, VALIDATION
from benchmarks.figures import Figures, Round, sentences, table_of
from benchmarks.process_tree import Usage

OURS = {VALIDATION: Usage(9, 8, 600e6), "curate": Usage(60, 40, 900e6), "compute": Usage(40, 30, 800e6)}


def figures(events: int = 10_000_000, *one_process: float) -> Figures:
    naive = dict.fromkeys(NAIVE_SCRIPTS, Usage(500, 300, 3e9))
    server = dict.fromkeys(OURS, Usage(1, 1, 1e8))
    return Figures(events, tuple(Round(Usage(cpu, 5, 2e9), naive, OURS, server) for cpu in one_process or (20,)))


def test_ratios_are_of_the_jobs_without_validation() -> None:
    assert figures().times_one_process() == pytest.approx(100 / 20)
    assert figures().times_naive() == pytest.approx(100 / 1000)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    assert figures(10_000_000, 10, 50, 20).times_one_process() == pytest.approx(5)


def test_each_ratio_stands_beside_its_limit() -> None:
    said = " ".join(sentences(figures()))
    assert "5.00 times the CPU time of one DuckDB process (6 allowed)" in said
    assert "0.10 times that of the two naive scripts (0.2 allowed): 100 CPU seconds (140 allowed)" in said
    assert "900 MB (2,000 allowed)" in said
    assert "8.0 seconds (15 allowed) and holds 600 MB (700 allowed)" in said


def test_numbers_of_events_without_a_limit_have_none() -> None:
    assert "5.00 times the CPU time of one DuckDB process, and" in " ".join(sentences(figures(1_000_000)))


def test_the_table_is_markdown_with_a_row_for_each_step() -> None:
    text = io.StringIO()
    Console(file=text, width=120).print(table_of(figures()))
    rows = {line.split("|")[1].strip(): line for line in text.getvalue().splitlines() if line.startswith("|")}
    assert {"one DuckDB process", "curate", "compute", "our jobs", *NAIVE_SCRIPTS, VALIDATION} <= rows.keys()
    assert [cell.strip() for cell in rows["our jobs"].split("|")[2:6]] == ["100.0", "5.00", "70.0", "900"]


def test_the_chart_draws_bars_as_long_as_what_they_stand_for() -> None:
    document = ElementTree.fromstring(chart([figures(), figures(1_000_000)]))
    bars = {
        element[0].text: float(element.attrib["width"])
        for element in document.iter("{http://www.w3.org/2000/svg}rect")
        if len(element)
    }
    assert bars["curate: 60.0 CPU seconds"] == pytest.approx(1.5 * bars["compute: 40.0 CPU seconds"], abs=0.2)
