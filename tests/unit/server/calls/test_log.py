"""The log of calls: bounded, newest last, one per service."""

from datetime import datetime

from easymlnb_server.calls.log import KEPT, CallLog, CallRecord


def entry(number: int) -> CallRecord:
    return CallRecord(request_id=f"r{number}", version="1", status=200, seconds=0.1, log="said")


def test_keeps_the_last_calls_in_order() -> None:
    log = CallLog()
    for number in range(KEPT + 10):
        log.add("f", entry(number))
    found = log.of("f")
    assert len(found) == KEPT
    assert (found[0].request_id, found[-1].request_id) == ("r10", f"r{KEPT + 9}")


def test_services_do_not_see_each_others_calls() -> None:
    log = CallLog()
    log.add("f", entry(1))
    log.add("g", entry(2))
    assert [e.request_id for e in log.of("g")] == ["r2"]
    log.forget("g")
    log.forget("unknown")
    assert (log.of("g"), len(log.of("f"))) == ([], 1)


def test_asking_for_unknown_services_takes_no_memory() -> None:
    log = CallLog()
    for number in range(100):
        assert log.of(f"name_{number}") == []
    assert log._entries == {}


def test_an_entry_has_its_time_with_a_time_zone() -> None:
    assert datetime.fromisoformat(entry(1).time).tzinfo is not None


def test_what_was_given_out_does_not_change() -> None:
    log = CallLog()
    log.add("f", entry(1))
    found = log.of("f")
    log.add("f", entry(2))
    assert len(found) == 1
