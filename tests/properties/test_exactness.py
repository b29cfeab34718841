"""Whatever happens between landing and archive, the tables are those of all accepted events, each counted once.

Hypothesis makes up histories: what events there are, how they are split into files and the files into runs, where runs
die, what is retried, and which old steps somebody runs again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from music_streams import lake

from tests.properties.world import STEPS, StepError, World

SONGS = (
    b"id,track_id,artists,track_name,duration_ms,track_genre\n"
    b"3,t1,Abba;Blur,One,60000,pop\n"
    b"1,t2,Blur,Two,120000,pop\n"
    b"2,t3,Cher; Abba ,Three,240000,rock\n"
    b"4,t4,,Four,1000,\n"
)
USERS = (
    b"user_id,user_name,user_age,user_country,created_at\n"
    b"u1,A,17,SE,2024-01-01\n"
    b"u2,B,18,SE,2024-01-01\n"
    b"u3,C,40,SE,2024-01-01\n"
)

DATES = ("2024-06-23", "2024-06-24", "2024-06-25")
TIMES = ("00:00:00", "00:00:01", "09:30:00", "23:59:59")
BAD_ROWS = ("u1,t1", ",t1,2024-06-24 00:00:00", "u1,t1,2024-06-31 00:00:00", "u1,t1,9999-01-01 00:00:00", '"u1,t1"')

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
    """Files land; a name that is taken is replaced."""

    name: str
    rows: tuple[str, ...]

    @property
    def content(self) -> bytes:
        return "".join(f"{line}\n" for line in ("user_id,track_id,listen_time", *self.rows)).encode()


@dataclass(frozen=True)
class LandAgain:
    """The same bytes land under another name."""

    which: int


@dataclass(frozen=True)
class Run:
    """A run from its first step to its last; a file may land before one of its steps."""

    meanwhile: tuple[str, Land] | None


@dataclass(frozen=True)
class Die:
    """A run that ends after so many steps."""

    steps: int


@dataclass(frozen=True)
class Retry:
    """The last run that died is cleared from so many steps before its end, and runs through."""

    steps_back: int


@dataclass(frozen=True)
class Repeat:
    """Somebody runs one step of an old run again."""

    batch: int
    step: int


landings = st.builds(Land, st.sampled_from(("a.csv", "b.csv", "c ü.csv")), rows.map(tuple))
operations = st.one_of(
    landings,
    landings,
    st.builds(LandAgain, st.integers(0, 3)),
    st.builds(Run, st.none() | st.tuples(st.sampled_from(STEPS), landings)),
    st.builds(Die, st.integers(1, len(STEPS) - 1)),
    st.builds(Retry, st.integers(0, 3)),
    st.builds(Repeat, st.integers(0, 5), st.integers(0, len(STEPS) - 1)),
)
histories = st.lists(operations, min_size=3, max_size=7)


class History:
    """Plays operations on a world and looks at its promises after each step."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dead: list[int] = []

    def play(self, operation: object) -> None:
        note(f"{operation}")
        players: dict[type, Callable[..., None]] = {
            Land: self._land,
            LandAgain: self._land_again,
            Run: self._run,
            Die: self._die,
            Retry: self._retry,
            Repeat: self._repeat,
        }
        players[type(operation)](operation)
        assert self.world.homeless_files() == []
        assert self.world.uncounted_rows() == []

    def _land(self, operation: Land) -> None:
        # A version that its producer replaces before a run has pinned it is not ours to keep.
        self.world.landed = [
            (name, content) for name, content in self.world.landed if name != operation.name or self._is_pinned(content)
        ]
        self.world.land(operation.name, operation.content)

    def _is_pinned(self, content: bytes) -> bool:
        return any(
            self.world.content(file["copy"]) == content for record in self.world.committed() for file in record["files"]
        )

    def _land_again(self, operation: LandAgain) -> None:
        if self.world.landed:
            _, content = self.world.landed[operation.which % len(self.world.landed)]
            self.world.land(f"again-{len(self.world.landed)}.csv", content)

    def _run(self, operation: Run) -> None:
        def before(step: str) -> None:
            if operation.meanwhile and operation.meanwhile[0] == step:
                self._land(operation.meanwhile[1])

        if self.world.run(self.world.new_batch(), before=before):
            self.dead.clear()
            self._completed()

    def _die(self, operation: Die) -> None:
        self.dead.append(len(self.world.batches))
        self.world.run(self.world.new_batch(), STEPS[: operation.steps])

    def _retry(self, operation: Retry) -> None:
        if not self.dead:
            return
        batch = self.world.batches[self.dead.pop()]
        if batch.outcome == "nothing_to_do":
            batch.done.clear()
        first = max(len(set(batch.done)) - operation.steps_back, 0)
        if self.world.run(batch, STEPS[first:]):
            self._completed()

    def _repeat(self, operation: Repeat) -> None:
        """An old step changes nothing that is right; it may well fail, as when it finds another batch's staging."""
        if not self.world.batches:
            return
        batch = self.world.batches[operation.batch % len(self.world.batches)]
        if not batch.done or batch.outcome == "nothing_to_do":
            return
        step = batch.done[operation.step % len(batch.done)]
        was_right = not self.world.owed() and self.world.differences() == ""
        try:
            self.world.step(batch, step)
        except StepError as error:
            note(f"  {error}")
        if was_right:
            assert self.world.differences() == ""

    def _completed(self) -> None:
        assert self.world.differences() == ""
        assert self.world.owed() == []
        assert self.world.misplaced_files() == []
        assert self.world.unarchived_files() == []


def check(world: World, history: list[object]) -> None:
    """Play a history, then one whole run, and look at every promise."""
    world.forget()
    world.put(lake.SONGS, SONGS)
    world.put(lake.USERS, USERS)
    player = History(world)
    for operation in history:
        player.play(operation)
    player.play(Land("last.csv", ("u1,t1,2024-06-25 09:30:00",)))
    player.play(Run(meanwhile=None))


@pytest.mark.timeout(1800)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    derandomize=True,
)
@given(history=histories)
def test_the_tables_are_exact_after_every_history(world: World, history: list[object]) -> None:
    check(world, history)
