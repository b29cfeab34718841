"""What the docs say twice, they say as the code does; and their links lead somewhere."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from contract import layout
from contract.kpi_tables import KPI_TABLES
from contract.rejections import REJECT_REASONS

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def text(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_pages_and_headings_that_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        linked = (page.parent / target).resolve() if target else page
        assert linked.is_relative_to(REPOSITORY), link
        assert linked.exists(), link
        assert not anchor or anchor in anchors(linked), link


@pytest.mark.parametrize("mart", [table.name for table in KPI_TABLES])
def test_the_kpi_page_describes_the_columns_of_the_contract_in_their_order(mart: str) -> None:
    models = yaml.safe_load(text(f"dbt_project/models/marts/{mart}.yml"))["models"]
    (model,) = [model for model in models if model["name"] == mart]
    contract = [(column["name"], column["data_type"].replace(" precision", "")) for column in model["columns"]]
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text("docs/kpis.md"), re.MULTILINE | re.DOTALL))
    rows = sections[mart] + sections["All tables"]
    assert re.findall(r"^\| `(\w+)` \| ([a-z]+(?:\(\d+\))?) \|", rows, re.MULTILINE) == contract


def test_the_lake_page_names_every_prefix() -> None:
    page = text("docs/lake.md")
    keys = [
        layout.SONGS,
        layout.USERS,
        layout.USER_STREAMS,
        layout.BATCHES,
        layout.REFERENCE,
        layout.CURATED,
        layout.EVENT_LISTS,
    ]
    keys += [
        layout.QUARANTINED_ROWS,
        layout.QUARANTINED_FILES,
        layout.OUTPUT,
        *(layout.ARCHIVE, layout.DBT_DOCS_PAGE, layout.DBT_RUNS, layout.KPI_REPORT_PAGE),
    ]
    assert [key for key in keys if f"`{key.removeprefix(layout.ROOT + '/')}" not in page] == []


def test_the_lake_page_names_every_reason_to_reject_a_row() -> None:
    rows = re.findall(r"^\|[^|]*\| rejected: (.*) \|$", text("docs/lake.md"), re.MULTILINE)
    assert {reason for row in rows for reason in re.findall(r"`([^`]+)`", row)} == set(REJECT_REASONS)


def test_the_page_for_contributors_names_files_that_exist() -> None:
    cells = re.findall(r"^\| (`.*?`) \|", text("CONTRIBUTING.md"), re.MULTILINE)
    files = [name.replace("NAME", KPI_TABLES[0].name) for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    assert [name for name in files if not (REPOSITORY / name).exists()] == []


def test_a_commit_is_checked_by_all_that_make_lint_runs_and_by_nothing_else() -> None:
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    hooks = {hook["entry"].removeprefix("env ") for hook in repository["hooks"]}
    shown = subprocess.run(["make", "-n", "lint"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    assert hooks == {line for line in shown.splitlines() if not line.startswith(("sh sandbox/setup.sh", "make "))}
    assert {(hook["language"], hook["pass_filenames"]) for hook in repository["hooks"]} == {("system", False)}


def test_the_readme_lists_the_commands_that_make_has() -> None:
    described = set(re.findall(r"^([a-z]+):.*## ", text("Makefile"), re.MULTILINE))
    listed = set(re.findall(r"`make ([a-z]+)", text("README.md")))
    assert listed <= described
    assert described - listed <= {"help", "setup"}
