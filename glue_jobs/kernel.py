"""The tools of all kernels: a DuckDB connection with a limit on memory, and files on the worker's disk."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

# Four kernels share a worker of 16 GB with the JVM: each keeps to 700 MB, its Arrow tables and Python included.
MEMORY_LIMIT = "350MB"

MACROS = "macros.sql"


@contextmanager
def connection() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Open a database in memory, which spills into a folder of its own; yield both.

    Raises:
        MemoryError: a query needs more memory than there is, though it may spill.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-") as folder:
        database = duckdb.connect(
            config={
                "threads": 1,  # Spark runs as many kernels as there are cores
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


@cache
def text_of(name: str, package: str = "glue_jobs") -> str:
    """The text of a file of a package, also where the package is an archive."""
    return resources.files(package).joinpath(name).read_text("utf-8")
