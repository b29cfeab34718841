"""The lake's layout: every key of the bucket that the pipeline reads or writes (docs/lake.md)."""

from collections.abc import Iterable
from dataclasses import dataclass

ROOT = "music_streams"

SONGS = f"{ROOT}/songs.csv"
USERS = f"{ROOT}/users.csv"
USER_STREAMS = f"{ROOT}/user_streams"
BATCHES = f"{ROOT}/batches"
REFERENCE = f"{ROOT}/reference"
CURATED = f"{ROOT}/curated/user_streams"
EVENT_LISTS = f"{ROOT}/events"
QUARANTINED_ROWS = f"{ROOT}/quarantine/rows"
QUARANTINED_FILES = f"{ROOT}/quarantine/files"
REMOVED_FILES = f"{QUARANTINED_FILES}/removed"  # by an operator; beside it, by batch, the files that validation refused
OUTPUT = f"{ROOT}/output"
ARCHIVE = f"{ROOT}/user-streams-archived"
DBT_DOCS = f"{ROOT}/dbt_docs"
DBT_DOCS_PAGE = f"{DBT_DOCS}/static_index.html"  # the name that dbt gives it
DBT_RUNS = f"{DBT_DOCS}/runs"  # holds a folder per batch with dbt's artifacts of its run
KPI_REPORT = f"{ROOT}/report"
KPI_REPORT_PAGE = f"{KPI_REPORT}/index.html"

REFERENCE_SONGS = f"{REFERENCE}/songs.csv"
REFERENCE_USERS = f"{REFERENCE}/users.csv"

# The pipeline's folders beside songs.csv and users.csv.
FOLDERS = frozenset(
    prefix.split("/")[1]
    for prefix in (
        *(USER_STREAMS, BATCHES, REFERENCE, CURATED, EVENT_LISTS, QUARANTINED_ROWS, QUARANTINED_FILES),
        *(OUTPUT, ARCHIVE, DBT_DOCS, KPI_REPORT),
    )
)

# Names inside a batch's folder.
MANIFEST = "manifest.json"
CURATION_RECORD = "curation.json"
REJECTED_RECORD = "rejected.json"
LOADED_RECORD = "loaded.json"
RUN_RECORD = "run.json"
# With this letter as delimiter, S3 lists a batch's folder as six names, however many files it holds, and the cut names
# of the records still differ.
RECORD_CUT = "n"


@dataclass(frozen=True)
class BatchFolder:
    """Keys of one batch."""

    batch_id: str

    @property
    def root(self) -> str:
        return f"{BATCHES}/{self.batch_id}"

    @property
    def pins(self) -> str:
        return f"{self.root}/input"

    @property
    def validation(self) -> str:
        return f"{self.root}/validation"

    @property
    def verdict(self) -> str:
        """Validation's verdict, which the task that ends the run reads."""
        return f"{self.validation}/verdict.json"

    @property
    def validation_summary(self) -> str:
        """The list of files, each with its problems and whether it passed."""
        return f"{self.validation}/summary.json"

    @property
    def manifest(self) -> str:
        return f"{self.root}/{MANIFEST}"

    @property
    def curation_record(self) -> str:
        return f"{self.root}/{CURATION_RECORD}"

    @property
    def rejected_record(self) -> str:
        """The counts of a batch that failed because too many of its rows were rejected."""
        return f"{self.root}/{REJECTED_RECORD}"

    @property
    def loaded_record(self) -> str:
        return f"{self.root}/{LOADED_RECORD}"

    @property
    def run_record(self) -> str:
        """The results of the run: a batch's last record, and the only one of a run that had nothing to do."""
        return f"{self.root}/{RUN_RECORD}"

    @property
    def archive(self) -> str:
        return f"{ARCHIVE}/{self.batch_id}"

    @property
    def quarantined_rows(self) -> str:
        return f"{QUARANTINED_ROWS}/batch_id={self.batch_id}"

    @property
    def quarantined_files(self) -> str:
        return f"{QUARANTINED_FILES}/{self.batch_id}"


def curated_date(listen_date: str) -> str:
    """Return the folder of a date (ISO) in the event store."""
    return f"{CURATED}/listen_date={listen_date}"


def curated_folder(listen_date: str, batch_id: str, attempt: str) -> str:
    """Return the folder to which an attempt at a batch's curation writes its events of a date."""
    return f"{curated_date(listen_date)}/batch_id={batch_id}/attempt={attempt}"


def event_list(listen_date: str, batch_id: str) -> str:
    """Return the key of the list of a batch's committed files of a date, for Athena."""
    return f"{EVENT_LISTS}/listen_date={listen_date}/{batch_id}.txt"


def batch_of_curated_file(key: str) -> str:
    """Return the id of the batch that wrote a file of the event store."""
    (batch_id,) = [part.removeprefix("batch_id=") for part in key.split("/") if part.startswith("batch_id=")]
    return batch_id


def committed_but_not_loaded(cut_names: Iterable[str]) -> list[str]:
    """Return the ids of the batches with a commit record and no loaded record, oldest first.

    Args:
        cut_names: the keys below `BATCHES`, each cut after the first RECORD_CUT.
    """
    committed, loaded = set[str](), set[str]()
    for name in cut_names:
        batch_id, _, record = name.removeprefix(f"{BATCHES}/").partition("/")
        if record == _cut(CURATION_RECORD):
            committed.add(batch_id)
        elif record == _cut(LOADED_RECORD):
            loaded.add(batch_id)
    return sorted(committed - loaded)


def _cut(name: str) -> str:
    return name[: name.index(RECORD_CUT) + 1]
