"""What share of rejected rows a run must be allowed so that it goes on."""

import pytest

from contract.rejections import rate_that_allows


@pytest.mark.parametrize(
    ("rejected", "read", "rate"),
    [(2, 7, 0.29), (1, 2, 0.5), (29, 100, 0.29), (1, 1_000_000, 0.01), (999, 1_000, 1.0)],
)
def test_the_smallest_rate_in_hundredths_lets_the_rows_pass(rejected: int, read: int, rate: float) -> None:
    assert rate_that_allows(rejected, read) == rate
    assert rejected / read <= rate


def test_no_rate_helps_where_every_row_is_rejected() -> None:
    assert rate_that_allows(5, 5) is None
