"""Parse job arguments: Glue passes `--name value` pairs, the job's own among those of Glue and Airflow."""

import argparse
from collections.abc import Sequence


def parse_arguments(argv: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Return the values of `names` from `argv`; other arguments are tolerated, since Glue and Airflow add their own.

    Raises:
        ValueError: arguments are missing; the message lists all of them.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    for name in names:
        parser.add_argument(f"--{name}")
    values, _ = parser.parse_known_args(list(argv))
    missing = [name for name in names if getattr(values, name) is None]
    if missing:
        raise ValueError(f"job argument missing: {', '.join('--' + name for name in missing)}")
    return {name: getattr(values, name) for name in names}
