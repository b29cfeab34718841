"""The promise of test_exactness.py on a few short histories, chosen for what goes wrong most often."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties.histories import Die, Land, LandAgain, Repeat, Run, check
from tests.properties.world import STEPS, World

MONDAY = Land("a.csv", ("u1,t1,2024-06-24 00:00:00", "u2,t3,2024-06-24 09:30:00", "u1,t1,2024-06-31 00:00:00"))
LATE = Land("b.csv", ("u3,t2,2024-06-24 09:30:00", "u1,t4,2024-06-23 23:59:59"))


@pytest.mark.parametrize(
    "history",
    [
        pytest.param(
            [MONDAY, Run(meanwhile=("compute_hourly_kpis", LATE)), LandAgain(0)],
            id="a file lands while its dates are computed, and one lands twice",
        ),
        pytest.param(
            [MONDAY, Die(STEPS.index("load_hourly_kpis"), writes=3)],
            id="a run dies in a load, and the next one loads what is pending",
        ),
        pytest.param(
            [MONDAY, Run(), LATE, Run(), Repeat(0, STEPS.index("load_genre_level_kpis"))],
            id="an old load is repeated after a newer one",
        ),
    ],
)
def test_the_tables_are_exact_after_a_short_history(world: World, history: list[object]) -> None:
    @settings(max_examples=1, deadline=None)
    @given(st.just(history))
    def play(chosen: list[object]) -> None:
        check(world, chosen)

    play()
