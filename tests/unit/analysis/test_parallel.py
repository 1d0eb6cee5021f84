"""Pieces of an analysis in forked processes."""

import os
import signal

import pytest

from ctabatch.analysis.parallel import run_parallel
from ctabatch.errors import BatchError


def test_results_are_in_order_and_come_from_other_processes():
    seen = run_parallel([lambda n=n: (n, os.getpid()) for n in range(5)], 2)
    assert [number for number, _ in seen] == list(range(5))
    assert os.getpid() not in {pid for _, pid in seen}


@pytest.mark.parametrize(("count", "processes"), [(3, 1), (1, 8)])
def test_one_process_is_this_one(count, processes):
    assert run_parallel([os.getpid] * count, processes) == [os.getpid()] * count


def test_nothing_to_do():
    assert run_parallel([], 4) == []


def test_an_error_of_a_task_is_raised():
    def fail():
        raise BatchError("not this one", "take another")

    with pytest.raises(BatchError, match="not this one"):
        run_parallel([lambda: 1, fail], 2)
    assert run_parallel([lambda: 1, lambda: 2], 2) == [1, 2]


def test_a_killed_process_is_an_error_not_a_standstill():
    with pytest.raises(BatchError, match=r"killed.*analysis\.n_jobs"):
        run_parallel([lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: 1], 2)
