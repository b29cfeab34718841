"""Sample data for whole runs, and the measure of their tables: the plain-Python oracle over all that ever landed."""

import csv
import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KPI_TABLES
from sandbox.sample_catalogue import Catalogue
from sandbox.sample_events import FIRST_DAY, write_sample_day
from tests.integration.conftest import RunningSandbox
from tests.oracle import Expected, expected_tables

Files = Mapping[str, bytes]
"""Content by name in the landing prefix."""

SMALL = Catalogue(songs=300, users=100)
TABLES = tuple(table.name for table in KPI_TABLES)
CATALOGUE = Catalogue(songs=2_000, users=500)
EVENTS = 2_000


def day(folder: Path, number: int, *, events: int, files: int, catalogue: Catalogue) -> dict[str, bytes]:
    """The files of a sample day; each day brings late and repeated events of those before."""
    write_sample_day(folder, FIRST_DAY + timedelta(days=number), events=events, files=files, catalogue=catalogue)
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.csv"))}


def sample_day(folder: Path, number: int) -> dict[str, bytes]:
    """The files of a sample day of a few thousand events."""
    return day(folder, number, events=EVENTS, files=3, catalogue=CATALOGUE)


def streams(files: Files) -> dict[str, bytes]:
    """The stream files among them."""
    return {name: content for name, content in files.items() if name.startswith("user_streams/")}


def table(sandbox: RunningSandbox, name: str, *, without: frozenset[str] = frozenset()) -> str:
    """A KPI table as CSV, in the order of its keys."""
    rows = sandbox.query(f"select * from {name} order by 1, 2")
    text = io.StringIO()
    columns = [column for column in (rows[0] if rows else {}) if column not in without] or ["listen_date"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def assert_tables(sandbox: RunningSandbox, expected: Expected) -> None:
    """The KPI tables hold the expected rows, and no others."""
    assert expected.differences({name: table(sandbox, name) for name in TABLES}) == ""


def expected_of_all_batches(sandbox: RunningSandbox, songs: bytes, users: bytes) -> Expected:
    """The KPI tables of everything in the archive, worked out in plain Python."""
    files, times = [], {}
    for key in sandbox.keys("user-streams-archived/"):
        batch_id = key.split("/")[1]
        manifest = Bucket(sandbox.bucket, sandbox.s3).read_json(layout.BatchFolder(batch_id).manifest)
        assert manifest is not None
        files.append((key, sandbox.s3.get_object(Bucket=sandbox.bucket, Key=f"{layout.ROOT}/{key}")["Body"].read()))
        times[key] = datetime.fromisoformat(manifest["time"])
    return expected_tables(songs, users, files, times)


def assert_exact(sandbox: RunningSandbox, files: dict[str, bytes]) -> Expected:
    """The KPI tables are those of all files in the archive, which are returned."""
    expected = expected_of_all_batches(sandbox, files["songs.csv"], files["users.csv"])
    assert_tables(sandbox, expected)
    return expected


class History:
    """All that ever landed in a sandbox that was empty before. None of its files is refused."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        sandbox.empty()
        self._sandbox = sandbox
        self._tables: dict[str, bytes] = {}
        self._streams: list[tuple[str, bytes]] = []

    def land(self, files: Files) -> None:
        """Land them."""
        self._sandbox.land(files)
        self._streams += streams(files).items()
        self._tables |= {name: content for name, content in files.items() if name in ("songs.csv", "users.csv")}

    @property
    def loaded(self) -> bool:
        """Whether some run has loaded something."""
        return any(key.endswith(f"/{layout.LOADED_RECORD}") for key in self._sandbox.keys("batches/"))

    def assert_exact(self) -> None:
        """The KPI tables are those of all events that ever landed, each counted once."""
        expected = expected_tables(
            self._tables["songs.csv"], self._tables["users.csv"], self._streams, datetime.now(UTC)
        )
        assert_tables(self._sandbox, expected)

    def assert_nothing_lost(self) -> None:
        """The bytes of every stream file that ever landed are where it landed, pinned, or in the archive."""
        places = (layout.USER_STREAMS, layout.BATCHES, layout.ARCHIVE)
        kept = {
            etag
            for place in places
            for etag in self._sandbox.etags(place.removeprefix(f"{layout.ROOT}/") + "/").values()
        }
        lost = [name for name, content in self._streams if hashlib.md5(content).hexdigest() not in kept]
        assert lost == []

    def assert_all_archived(self) -> None:
        """Nothing waits in the landing prefix, and every stream file that ever landed is in the archive."""
        assert self._sandbox.keys("user_streams/") == []
        archived = set(self._sandbox.etags(layout.ARCHIVE.removeprefix(f"{layout.ROOT}/") + "/").values())
        assert {hashlib.md5(content).hexdigest() for _, content in self._streams} <= archived
