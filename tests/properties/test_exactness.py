"""Whatever happens between landing and archive, the tables are those of all accepted events, each counted once."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.properties.histories import check, histories
from tests.properties.world import World


@pytest.mark.timeout(1800)
@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
)
@given(history=histories)
def test_the_tables_are_exact_after_every_history(world: World, history: list[object]) -> None:
    check(world, history)
