"""The lake's layout: every key of the bucket that the pipeline reads or writes (docs/lake.md).

The Glue jobs get these names as arguments, so that each stands once.
"""

from dataclasses import dataclass

ROOT = "music_streams"

SONGS = f"{ROOT}/songs.csv"
USERS = f"{ROOT}/users.csv"
USER_STREAMS = f"{ROOT}/user_streams"
BATCHES = f"{ROOT}/batches"
REFERENCE = f"{ROOT}/reference"
CURATED = f"{ROOT}/curated/user_streams"
QUARANTINED_ROWS = f"{ROOT}/quarantine/rows"
QUARANTINED_FILES = f"{ROOT}/quarantine/files"
GENRE_LEVEL_KPIS = f"{ROOT}/output/genre_level_kpis"
HOURLY_KPIS = f"{ROOT}/output/hourly-kpis"
ARCHIVE = f"{ROOT}/user-streams-archived"
DBT_DOCS = f"{ROOT}/dbt_docs"
DBT_DOCS_PAGE = f"{DBT_DOCS}/static_index.html"  # dbt's own name of it

REFERENCE_SONGS = f"{REFERENCE}/songs.csv"
REFERENCE_USERS = f"{REFERENCE}/users.csv"

# Names inside a batch's folder; the Glue jobs know them too (tests/unit/test_one_fact_in_two_languages.py compares).
MANIFEST = "manifest.json"
CURATION_RECORD = "curation.json"
REJECTED_RECORD = "rejected.json"
LOADED_RECORD = "loaded.json"
COPY_MANIFEST = "manifest.json"
# Cut at this letter a batch's folder is listed as five names, however many files it holds, and records keep apart.
RECORD_CUT = "n"


def copy_manifest(kpis: str, batch_id: str) -> str:
    """The manifest that COPY reads, written last by the job that computes these KPIs (`HOURLY_KPIS`, …)."""
    return f"{kpis}/batch_id={batch_id}/{COPY_MANIFEST}"


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
        """What validation decided, for the task that ends the run."""
        return f"{self.validation}/verdict.json"

    @property
    def manifest(self) -> str:
        return f"{self.root}/{MANIFEST}"

    @property
    def curation_record(self) -> str:
        return f"{self.root}/{CURATION_RECORD}"

    @property
    def rejected_record(self) -> str:
        """The counts of a batch that had too many bad rows."""
        return f"{self.root}/{REJECTED_RECORD}"

    @property
    def loaded_record(self) -> str:
        return f"{self.root}/{LOADED_RECORD}"

    @property
    def archive(self) -> str:
        return f"{ARCHIVE}/{self.batch_id}"

    @property
    def quarantined_files(self) -> str:
        return f"{QUARANTINED_FILES}/{self.batch_id}"
