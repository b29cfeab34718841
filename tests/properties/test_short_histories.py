"""The promise of test_exactness.py on the few short histories that every day has time for."""

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.properties.histories import check, operations
from tests.properties.world import World


@settings(
    max_examples=5,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
)
@given(history=st.lists(operations, min_size=2, max_size=4))
def test_the_tables_are_exact_after_every_short_history(world: World, history: list[object]) -> None:
    check(world, history)
