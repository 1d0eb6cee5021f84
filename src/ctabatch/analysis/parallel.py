"""Run pieces of an analysis side by side, in processes that share what is in memory already."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ctabatch.errors import BatchError

#: What the processes made by `run_parallel` find when they are forked.
_tasks: list[Callable[[], Any]] = []


def run_parallel(tasks: list[Callable[[], Any]], processes: int) -> list[Any]:
    """Run tasks in forked processes; nothing but their results is copied between processes.

    Parameters
    ----------
    tasks : list of callable
        Called without arguments. What they change in memory is lost, what they return is not.
    processes : int
        Most processes at once. With one, or where processes can't be forked, the tasks run here, one
        after the other.

    Returns
    -------
    list
        Results, in order.

    Raises
    ------
    ctabatch.errors.BatchError
        A process died, of want of memory as a rule.
    Exception
        What a task raises.
    """
    global _tasks
    processes = min(processes, len(tasks))
    if processes < 2 or "fork" not in multiprocessing.get_all_start_methods():
        return [task() for task in tasks]
    _tasks = tasks
    try:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("fork")) as pool:
            return list(pool.map(_run, range(len(tasks))))
    except BrokenProcessPool:
        raise BatchError(
            "a process of the analysis was killed", "give it more memory, or set analysis.n_jobs: 1"
        ) from None
    finally:
        _tasks = []


def _run(number: int) -> Any:
    return _tasks[number]()
