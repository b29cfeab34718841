"""Made-up histories of the pipeline, and the promises that hold after each of their operations.

A history says what events there are, how they are split into files and the files into runs, which runs die and where,
what is retried, which old steps somebody runs again, and when songs change.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from hypothesis import note
from hypothesis import strategies as st
from music_streams.batches import DateRange
from music_streams.ingestion import OnInvalidStreamFile

from contract import layout
from tests.death import Died
from tests.properties.world import STEPS, Batch, StepError, World

SONGS = (
    b"id,track_id,artists,track_name,duration_ms,track_genre\n"
    b"3,t1,Abba;Blur,One,60000,pop\n"
    b"1,t2,Blur,Two,120000,pop\n"
    b"2,t3,Cher; Abba ,Three,240000,rock\n"
    b"4,t4,,Four,1000,\n"
)
OTHER_SONGS = (
    b"id,track_id,artists,track_name,duration_ms,track_genre\n"
    b"3,t1,Abba;Blur,One (remastered),61000,disco\n"
    b"1,t2,Blur,Two,120000,disco\n"
    b"2,t3,Dido,Three,240000,\n"
    b"9,t9,Eno,Nine,9000,ambient\n"
)
USERS = (
    b"user_id,user_name,user_age,user_country,created_at\n"
    b"u1,A,17,SE,2024-01-01\n"
    b"u2,B,18,SE,2024-01-01\n"
    b"u3,C,40,SE,2024-01-01\n"
)

HEADER = "user_id,track_id,listen_time"
DATES = ("2024-06-23", "2024-06-24", "2024-06-25")
ALL_DATES = DateRange(date(2024, 6, 23), date(2024, 6, 25))
TIMES = ("00:00:00", "00:00:01", "09:30:00", "23:59:59")
BAD_ROWS = ("u1,t1", ",t1,2024-06-24 00:00:00", "u1,t1,2024-06-31 00:00:00", "u1,t1,9999-01-01 00:00:00", '"u1,t1"')
NAMES = ("a.csv", "b.csv", "c ü.csv")
MOST_WRITES = 40  # in one step: what it does in S3, or dbt's statements

good_rows = st.builds(
    "{},{},{} {}".format,
    st.sampled_from(("u1", "u2", "u3", "u4", " u1 ")),
    st.sampled_from(("t1", "t2", "t3", "t4", "t9")),
    st.sampled_from(DATES),
    st.sampled_from(TIMES),
)
rows = st.lists(st.one_of(*[good_rows] * 9, st.sampled_from(BAD_ROWS)), min_size=1, max_size=12)


@dataclass(frozen=True)
class Land:
    """A file lands, in place of one of its name."""

    name: str
    rows: tuple[str, ...]
    header: str = HEADER

    @property
    def content(self) -> bytes:
        return "".join(f"{line}\n" for line in (self.header, *self.rows)).encode()


@dataclass(frozen=True)
class LandAgain:
    """Bytes that landed before land under another name."""

    which: int


@dataclass(frozen=True)
class Withdraw:
    """A producer takes a file away."""

    name: str


@dataclass(frozen=True)
class ChangeSongs:
    """Tracks change their genres, artists, names; some appear, some vanish."""


@dataclass(frozen=True)
class Params:
    """Of a DAG run."""

    on_invalid_stream_file: OnInvalidStreamFile = "fail"
    max_reject_rate: float = 1.0
    recompute: bool = False


@dataclass(frozen=True)
class Run:
    """A run from its first step to its last; a file may land before one of its steps."""

    meanwhile: tuple[str, Land] | None = None
    params: Params = Params()


@dataclass(frozen=True)
class Die:
    """A run that is killed in one of its steps, before it writes once more than this."""

    step: int
    writes: int
    params: Params = Params()


@dataclass(frozen=True)
class Retry:
    """The last run that died or failed is cleared from so many steps before its end, and runs through."""

    steps_back: int


@dataclass(frozen=True)
class Repeat:
    """Somebody runs one step of an old run again."""

    batch: int
    step: int


landings = st.builds(Land, st.sampled_from(NAMES), rows.map(tuple))
params = st.builds(
    Params, st.sampled_from(("fail", "quarantine")), st.sampled_from((1.0, 1.0, 0.3)), st.sampled_from((False, True))
)
operations = st.one_of(
    landings,
    landings,
    landings,
    st.builds(Land, st.just("bad.csv"), rows.map(tuple), st.just("user_id,listen_time")),
    st.builds(LandAgain, st.integers(0, 3)),
    st.builds(Withdraw, st.sampled_from(NAMES)),
    st.just(ChangeSongs()),
    st.builds(Run, st.none() | st.tuples(st.sampled_from(STEPS), landings), params),
    st.builds(Die, st.integers(0, len(STEPS) - 1), st.integers(0, MOST_WRITES) | st.integers(0, 3), params),
    st.builds(Die, st.integers(0, len(STEPS) - 1), st.integers(0, MOST_WRITES) | st.integers(0, 3)),
    st.builds(Retry, st.integers(0, 3)),
    st.builds(Repeat, st.integers(0, 5), st.integers(0, len(STEPS) - 1)),
)
histories = st.lists(operations, min_size=2, max_size=6)


class History:
    """Plays operations on a world and looks at its promises after each."""

    def __init__(self, world: World) -> None:
        """Start with reference tables, without any event."""
        self.world = world
        self._ended_early: list[Batch] = []
        self._songs = SONGS
        self._dates_differ_in_songs = False
        world.forget()
        world.put(layout.SONGS, SONGS)
        world.put(layout.USERS, USERS)

    def play(self, operation: object) -> None:
        """Play one operation.

        Raises:
            AssertionError: a promise is broken.
        """
        note(f"{operation}")
        players: dict[type, Callable[..., None]] = {
            Land: self._land,
            LandAgain: self._land_again,
            Withdraw: self._withdraw,
            ChangeSongs: self._change_songs,
            Run: self._run,
            Die: self._die,
            Retry: self._retry,
            Repeat: self._repeat,
        }
        players[type(operation)](operation)
        assert self.world.homeless_files() == []
        assert self.world.uncounted_rows() == []

    def end(self) -> None:
        """Let one whole run take in what is left and put right what is pending."""
        self.play(Land("last.csv", (f"u1,t1,{DATES[-1]} 09:30:00",)))
        self.play(Run(params=Params("quarantine", recompute=self._dates_differ_in_songs)))
        assert self.world.differences() == ""

    def _land(self, operation: Land) -> None:
        self._forget_unless_pinned(operation.name)
        self.world.land(operation.name, operation.content)

    def _land_again(self, operation: LandAgain) -> None:
        if self.world.landed:
            _, content = self.world.landed[operation.which % len(self.world.landed)]
            self.world.land(f"again-{len(self.world.landed)}.csv", content)

    def _withdraw(self, operation: Withdraw) -> None:
        self._forget_unless_pinned(operation.name)
        self.world.withdraw(operation.name)

    def _forget_unless_pinned(self, name: str) -> None:
        """A version that its producer takes back before a run has committed it is not ours to keep."""
        committed = {(file["key"], file["etag"]) for record in self.world.committed() for file in record["files"]}
        self.world.landed = [
            (landed, content)
            for landed, content in self.world.landed
            if landed != name or (f"{layout.USER_STREAMS}/{name}", self.world.etag(content)) in committed
        ]

    def _change_songs(self, _: ChangeSongs) -> None:
        self._songs = OTHER_SONGS if self._songs == SONGS else SONGS
        self.world.put(layout.SONGS, self._songs)
        self._dates_differ_in_songs = True

    def _new_batch(self, params: Params) -> Batch:
        return self.world.new_batch(
            ALL_DATES if params.recompute else None, params.on_invalid_stream_file, params.max_reject_rate
        )

    def _run(self, operation: Run) -> None:
        def before(step: str) -> None:
            if operation.meanwhile and operation.meanwhile[0] == step:
                self._land(operation.meanwhile[1])

        self._run_through(self._new_batch(operation.params), STEPS, before)

    def _run_through(
        self, batch: Batch, steps: tuple[str, ...], before: Callable[[str], None] = lambda _: None
    ) -> None:
        was_right = self._is_right()
        try:
            has_loaded = self.world.run(batch, steps, before=before)
        except StepError as error:
            note(f"  {error}")
            self._check_refusal(batch, str(error))
            self._ended_early.append(batch)
            assert self._is_right() or not was_right
        else:
            if has_loaded:
                self._check_loaded(batch)

    def _check_refusal(self, batch: Batch, error: str) -> None:
        """A step fails for a reason that its run was given, and for no other."""
        if batch.on_invalid_stream_file == "fail" and "bad.csv: column 'track_id' is missing" in error:
            assert "bad.csv" in self.world.landing
        else:
            assert batch.max_reject_rate < 1
            assert "more than max_reject_rate 0.3 allows" in error

    def _die(self, operation: Die) -> None:
        batch = self._new_batch(operation.params)
        self._ended_early.append(batch)
        try:
            if self.world.run(batch, STEPS[: operation.step]):
                self.world.step(batch, STEPS[operation.step], dies_after=operation.writes)
        except (Died, StepError) as death:
            note(f"  {death!r}")

    def _retry(self, operation: Retry) -> None:
        if not self._ended_early:
            return
        batch = self._ended_early.pop()
        if batch.outcome == "nothing_to_do":
            batch.done.clear()
        first = max(len(set(batch.done)) - operation.steps_back, 0)
        self._run_through(batch, STEPS[first:])

    def _repeat(self, operation: Repeat) -> None:
        """An old step changes nothing that is right; it may well fail, as when it finds another batch's staging."""
        if not self.world.batches:
            return
        batch = self.world.batches[operation.batch % len(self.world.batches)]
        if not batch.done or batch.outcome == "nothing_to_do":
            return
        was_right = self._is_right()
        try:
            self.world.step(batch, batch.done[operation.step % len(batch.done)])
        except StepError as error:
            note(f"  {error}")
        assert self._is_right() or not was_right

    def _is_right(self) -> bool:
        if not self.world.committed():
            return True
        return not self._dates_differ_in_songs and not self.world.pending() and self.world.differences() == ""

    def _check_loaded(self, batch: Batch) -> None:
        if batch.recompute:
            self._dates_differ_in_songs = self._songs != self.world.content(layout.REFERENCE_SONGS)
        if not self._dates_differ_in_songs:
            assert self.world.differences() == ""
        assert self.world.pending() == []
        assert self.world.miscounted_dates() == {}
        assert self.world.misplaced_files() == []
        assert self.world.files_wrongly_listed() == []
        assert self.world.unarchived_files() == []


def check(world: World, history: list[object]) -> None:
    """Play a history, then one whole run, and look at every promise."""
    player = History(world)
    for operation in history:
        player.play(operation)
    player.end()
