"""Work in threads: results in order, no more under way than allowed, and an end at any time."""

import threading
import time
from contextlib import closing

import pytest

from segnet.base.threads import in_order, in_threads


def ones(item):
    return 1


def test_results_come_in_the_order_of_the_items_whoever_is_done_first():
    def late(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert [*in_order(late, range(20), most=5, weigh=ones, budget=100)] == [item**2 for item in range(20)]


@pytest.mark.parametrize(
    ("most", "budget", "weight", "held"), [(3, 100, 1, 3), (50, 40, 10, 4), (50, 40, 1000, 1), (1, 1, 0, 1)]
)
def test_no_more_is_asked_for_than_is_allowed_to_wait(most, budget, weight, held):
    asked = []

    def items():
        for item in range(12):
            asked.append(item)
            yield item

    results = in_order(str, items(), most=most, weigh=lambda item: weight, budget=budget)
    for taken, result in enumerate(results):
        assert result == str(taken)
        assert len(asked) <= taken + held + 1  # one more has been asked for and not begun
    assert len(asked) == 12


def test_an_error_comes_where_its_result_would():
    results = in_order(lambda item: 1 // item, [2, 1, 0, 1], most=4, weigh=ones, budget=9)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_caller_who_stops_ends_it_without_what_had_not_begun():
    begun, go_on = [], threading.Event()

    def wait(item):
        begun.append(item)
        if item:
            go_on.wait(10)
        return item

    with closing(in_order(wait, range(100), most=90, weigh=ones, budget=100)) as results:
        assert next(results) == 0
        go_on.set()
    count = len(begun)
    assert threading.active_count() < 10
    time.sleep(0.05)
    assert len(begun) == count


@pytest.mark.parametrize("count", [0, 1, 7, 1000])
@pytest.mark.parametrize("is_quick", [lambda item: False, lambda item: True, lambda item: item % 3 == 0])
def test_each_item_is_done_once_and_results_are_in_their_order(count, is_quick):
    done = []

    def square(item):
        done.append(item)
        return item * item

    assert in_threads(square, range(count), is_quick) == [item**2 for item in range(count)]
    assert sorted(done) == [*range(count)]


def test_what_a_thread_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda item: 1 // item, range(100))
