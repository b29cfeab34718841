"""Lint the templates and the workflows: `python -m tests.lint_infra`.

cfn-lint, checkov and actionlint, each in its own process, all at once. Their environment is .venv/infra, which is made
or brought up to date first. With its files each tool gets one in which something is wrong: from a tool that does not
see it, silence about the others means nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.tools import uv_program

REPOSITORY = Path(__file__).parents[1]
ENVIRONMENT = REPOSITORY / ".venv" / "infra"
TEMPLATES = REPOSITORY / "infra" / "templates"
WORKFLOWS = REPOSITORY / ".github" / "workflows"

# cfn-lint: no such property. checkov: a topic that is not encrypted.
WRONG_TEMPLATE = """\
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties: {Colour: green}
"""
WRONG_WORKFLOW = """\
on: push
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - run: echo ${{ github.no_such_thing }}
"""


class LinterError(Exception):
    """A linter did not do its work."""


@dataclass(frozen=True)
class Finding:
    """Something a tool does not like, and where."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        path = self.file.relative_to(REPOSITORY) if self.file.is_relative_to(REPOSITORY) else self.file
        return f"{path}:{self.line}: {self.text}"


def cfn_lint(files: Sequence[Path]) -> list[Finding]:
    """What is no CloudFormation, or should not be; warnings count."""
    found = _answer("cfn-lint", "--format", "json", "--", *files)
    return [
        Finding(
            Path(entry["Filename"]).resolve(),
            entry["Location"]["Start"]["LineNumber"],
            f"{entry['Rule']['Id']} {entry['Message']}",
        )
        for entry in found
    ]


def checkov(files: Sequence[Path]) -> list[Finding]:
    """What breaks a policy. A resource that may break one says why in its Metadata.

    Raises:
        LinterError: a file was not understood, or not looked at.
    """
    chosen = [argument for file in files for argument in ("--file", file)]
    answer = _answer("checkov", "--framework", "cloudformation", "--output", "json", "--skip-download", *chosen)
    results = answer["results"]
    if results["parsing_errors"]:
        raise LinterError(f"checkov cannot read {', '.join(results['parsing_errors'])}")
    seen = {Path(check["file_abs_path"]).resolve() for kind in results.values() for check in kind}
    if unseen := set(files) - seen:
        raise LinterError(f"checkov checked nothing in {', '.join(sorted(map(str, unseen)))}")
    return [
        Finding(
            Path(check["file_abs_path"]).resolve(),
            check["file_line_range"][0],
            f"{check['check_id']} {check['check_name']} ({check['resource']})",
        )
        for check in results["failed_checks"]
    ]


def actionlint(files: Sequence[Path]) -> list[Finding]:
    """What is no workflow of GitHub's, or does not do what it seems to."""
    found = _answer("actionlint", "-format", "{{json .}}", *files)
    return [
        Finding(Path(entry["filepath"]).resolve(), entry["line"], f"{entry['kind']}: {entry['message']}")
        for entry in found
    ]


def _answer(program: str, *arguments: str | Path) -> Any:
    done = subprocess.run(
        [ENVIRONMENT / "bin" / program, *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "PATH": f"{ENVIRONMENT / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError as error:
        raise LinterError(
            f"{program} ended {done.returncode} without an answer:\n{done.stdout}{done.stderr}"
        ) from error


def lint(tool: Callable[[Sequence[Path]], list[Finding]], files: Iterable[Path], wrong: Path) -> list[Finding]:
    """What the tool finds in the files.

    Raises:
        LinterError: there are none, or it finds nothing in the wrong one.
    """
    checked = sorted(files)
    if not checked:
        raise LinterError(f"{tool.__name__}: there are no files to check")
    findings = tool([*checked, wrong])
    if not any(finding.file == wrong for finding in findings):
        raise LinterError(f"{tool.__name__} finds nothing in a file that is wrong: it does not work")
    return [finding for finding in findings if finding.file != wrong]


def main() -> int:
    """Print what the three tools find; 1 when that is anything."""
    subprocess.run(
        [uv_program(), "sync", "--quiet", "--frozen", "--only-group", "infra"],
        cwd=REPOSITORY,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(ENVIRONMENT)},
        check=True,
    )
    with tempfile.TemporaryDirectory() as made, ThreadPoolExecutor() as pool:
        template, workflow = Path(made).resolve() / "wrong.yaml", Path(made).resolve() / "workflow.yml"
        template.write_text(WRONG_TEMPLATE)
        workflow.write_text(WRONG_WORKFLOW)
        templates, workflows = list(TEMPLATES.glob("*.yaml")), list(WORKFLOWS.glob("*.yml"))
        under_way = [
            pool.submit(lint, cfn_lint, templates, template),
            pool.submit(lint, checkov, templates, template),
            pool.submit(lint, actionlint, workflows, workflow),
        ]
        findings = [finding for each in under_way for finding in each.result()]
    for finding in findings:
        print(finding)
    if findings:
        return 1
    print(f"{len(templates)} templates and {len(workflows)} workflows are as they should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
