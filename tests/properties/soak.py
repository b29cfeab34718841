"""`make soak`: histories nobody has seen before, for as long as you like.

Not collected with the other tests: every run of it is another one.
"""

import os
import random
import time

import hypothesis
import pytest
from hypothesis import HealthCheck, given, settings

from tests.properties.histories import check, histories
from tests.properties.world import World

HISTORIES_PER_SEED = 10


@pytest.mark.timeout(0)
def test_no_new_history_breaks_the_promise(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    given_seed = os.environ.get("SOAK_SEED")
    end = time.monotonic() + 60 * float(os.environ.get("SOAK_MINUTES") or 10)
    seeds = [int(given_seed)] if given_seed else iter(lambda: random.randrange(2**32), None)
    played = 0
    for seed in seeds:
        with capsys.disabled():
            print(f"\nseed {seed}, after {played} histories", end="", flush=True)
        try:
            play(world, seed)
        except BaseException:
            with capsys.disabled():
                print(f"\nA promise is broken. To see it again: make soak SEED={seed}", flush=True)
            raise
        played += HISTORIES_PER_SEED
        if time.monotonic() > end:
            return


def play(world: World, seed: int) -> None:
    """Play the histories of a seed; one that fails is made as small as possible and shown."""

    @hypothesis.seed(seed)
    @settings(max_examples=HISTORIES_PER_SEED, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(history=histories)
    def test(history: list[object]) -> None:
        check(world, history)

    test()
