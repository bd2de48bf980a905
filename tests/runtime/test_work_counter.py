"""Units of work, counted without a lock."""

from __future__ import annotations

import threading

from leakguard._runtime.work_counter import MOST_ROUTES, OTHER_ROUTES, Work, WorkCounter


def test_nothing_begun_is_not_zero() -> None:
    assert WorkCounter().read() is None


def test_units_are_under_way_until_they_end() -> None:
    counter = WorkCounter()
    counter.begin()
    counter.begin()
    assert counter.read() == Work(finished=0, in_flight=2)
    counter.end()
    assert counter.read() == Work(finished=1, in_flight=1)


def test_units_are_counted_by_route_of_which_there_are_few() -> None:
    work = WorkCounter()
    for number in range(MOST_ROUTES + 5):
        for _ in range(2):
            work.count_route(f"/page/{number}")
    counts = work.read_routes()
    assert counts["/page/0"] == 2
    assert counts[OTHER_ROUTES] == 10
    assert len(counts) == MOST_ROUTES + 1


def test_threads_lose_no_count() -> None:
    counter = WorkCounter()

    def work() -> None:
        for _ in range(2_000):
            counter.begin()
            counter.end()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read() == Work(finished=8_000, in_flight=0)


def test_what_the_parent_had_under_way_is_forgotten() -> None:
    counter = WorkCounter()
    counter.begin()
    counter.begin()
    counter.abandon()
    assert counter.read() == Work(finished=0, in_flight=0)
    counter.begin()
    assert counter.read() == Work(finished=0, in_flight=1)
    counter.end()
    counter.end()  # one of those that were forgotten ends all the same
    assert counter.read() == Work(finished=2, in_flight=0)
