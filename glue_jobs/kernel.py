"""Tools for all kernels: a DuckDB connection with a memory limit, and files on the worker's disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

# Four kernels share a worker of 16 GB with the JVM; with this limit each takes at most 700 MB, with Arrow and Python.
MEMORY_LIMIT = "350MB"

MACROS = "macros.sql"


@contextmanager
def connection() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Open an in-memory database, which spills into a folder of its own; yield both.

    Raises:
        MemoryError: a query needs more memory than the limit, even with spilling.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        database = duckdb.connect(
            config={
                "threads": 1,  # because Spark runs one kernel per core
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": f"{folder}/spill",
                "preserve_insertion_order": False,
            }
        )
        try:
            database.execute(text_of(MACROS))
            yield database, Path(folder)
        except duckdb.OutOfMemoryException as error:
            raise MemoryError(
                f"DuckDB cannot allocate what a query needs ({error}); give the workers more memory or disk, or "
                "make blocks smaller (EVENTS_PER_BUCKET)"
            ) from error
        finally:
            database.close()


def literal(path: str | Path) -> str:
    """Return a path as a literal of SQL; the name of a folder may contain a quote."""
    return "'" + str(path).replace("'", "''") + "'"


@cache
def text_of(name: str, package: str = "glue_jobs") -> str:
    """Return the text of a package's file, even if the package is in an archive."""
    return resources.files(package).joinpath(name).read_text("utf-8")
