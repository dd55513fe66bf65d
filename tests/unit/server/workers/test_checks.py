"""What a worker's memory over time leads to."""

from easymlnb_server.workers.checks import FAR_ABOVE, PEAK, MemoryTracker, MemoryVerdict

LIMIT = 1000


def verdicts(*looks: tuple[float, int]) -> list[MemoryVerdict]:
    scale = MemoryTracker(LIMIT)
    return [scale.judge(used, now) for now, used in looks]


def test_below_and_at_the_limit_is_fine() -> None:
    assert set(verdicts((0, 0), (50, LIMIT), (100, LIMIT))) == {MemoryVerdict.FINE}


def test_peak_is_let_pass_and_the_next_one_counts_anew() -> None:
    peak = LIMIT + 1
    assert set(
        verdicts((0, peak), (PEAK - 1, peak), (PEAK, LIMIT), (PEAK + 1, peak), (2 * PEAK, peak))
    ) == {MemoryVerdict.FINE}


def test_staying_above_leads_to_a_replacement() -> None:
    assert verdicts((5, LIMIT + 1), (5 + PEAK, LIMIT + 1)) == [
        MemoryVerdict.FINE,
        MemoryVerdict.REPLACE,
    ]


def test_far_above_there_is_no_waiting() -> None:
    assert verdicts((0, int(FAR_ABOVE * LIMIT)), (1, int(FAR_ABOVE * LIMIT) + 1)) == [
        MemoryVerdict.FINE,
        MemoryVerdict.END,
    ]
