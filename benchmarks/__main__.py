"""`python -m benchmarks`: measure both tables, or one of them."""

import argparse
import sys
from pathlib import Path

from benchmarks import limit, year_of_history

HISTORY, LIMIT = "history", "limit"


def main() -> int:
    """Run the requested benchmarks; the exit status is 1 if one of them fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures what the pipeline costs.")
    parser.add_argument("--against", choices=[HISTORY, LIMIT], help="one of the tables only")
    parser.add_argument(
        "--events", type=_numbers, default="1000000,10000000", help="of the table against the limit (%(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of which the figures are medians (%(default)s)")
    parser.add_argument("--chart", type=Path, help="a file for the figures as SVG")
    options = parser.parse_args()
    statuses = []
    if options.against != LIMIT:
        statuses.append(year_of_history.main())
    if options.against != HISTORY:
        statuses.append(limit.main(limit.Settings(options.events, options.rounds, options.chart)))
    return max(statuses)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
