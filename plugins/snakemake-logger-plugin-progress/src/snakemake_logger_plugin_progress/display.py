"""The two ways of showing a run: live on a terminal, or as lines."""

import logging
import threading
import time

from snakemake_logger_plugin_progress.run import Run, duration, place_text

#: Failures and rules that the live display shows.
FAILURES, RULES = 5, 8


class Lines:
    """Messages, and a line of progress now and then.

    Parameters
    ----------
    run : Run
        What is shown.
    stream : file
        Where to.
    lock : threading.RLock
        Guards `run`.
    interval : float
        Seconds between two lines; 0 for none.
    """

    def __init__(self, run: Run, stream, lock, interval: float):
        self.run = run
        self.stream = stream
        self.lock = lock
        self.interval = interval
        self._said = ""
        self._stop = threading.Event()
        self._thread = None

    def say(self, text: str, level: int = logging.INFO) -> None:
        """Write a message."""
        self.stream.write(text.rstrip("\n") + "\n")
        self.stream.flush()

    def start(self) -> None:
        """Begin to tell the progress."""
        if self.interval > 0 and self._thread is None:
            self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
            self._thread.start()

    def _tell(self):
        while not self._stop.wait(self.interval):
            with self.lock:
                line = self.run.line()
                # the time left changes always: it alone is no news
                news = line.partition(", ETA")[0]
                if news != self._said:
                    self._said = news
                    self.say(f"{time.strftime('%H:%M:%S')} {line}")

    def changed(self) -> None:
        """Nothing to do: lines come by the clock."""

    def stop(self) -> None:
        """End telling."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)


class Terminal:
    """A live display below the messages; `run` and `lock` as for `Lines`."""

    def __init__(self, run: Run, stream, nocolor: bool, lock):
        from rich.console import Console
        from rich.live import Live

        self.run = run
        self.lock = lock
        self.console = Console(file=stream, no_color=nocolor or None)
        self.live = Live(
            console=self.console,
            get_renderable=self._render,
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def say(self, text: str, level: int = logging.INFO) -> None:
        """Write a message above the display."""
        from rich.text import Text

        style = "red" if level >= logging.ERROR else "yellow" if level >= logging.WARNING else ""
        self.console.print(Text(text.rstrip("\n"), style=style), soft_wrap=True)

    def start(self) -> None:
        """Begin to show the progress."""
        if not self.live.is_started:
            self.live.start()

    def changed(self) -> None:
        """Nothing to do: the display refreshes itself."""

    def stop(self) -> None:
        """Take the display away."""
        self.live.stop()

    def _render(self):
        with self.lock:
            return render(self.run)


def render(run: Run):
    """Make the live display: failures, places, rules, and the bar."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    parts = []
    for failure in run.final_failures[-FAILURES:]:
        reason = failure.reason.strip().partition("\n")[0]
        parts.append(Text(f"FAILED {failure.title} {reason}".rstrip(), "red", no_wrap=True))
    if places := run.places():
        parts.append(Text("; ".join(place_text(*place) for place in places), "cyan"))
    rules = Table.grid(padding=(0, 2))
    for rule, active in _active_rules(run).most_common(RULES):
        known = (
            f"{run.done_by_rule[rule]} of {run.by_rule[rule]}"
            if run.by_rule[rule]
            else (f"{run.done_by_rule[rule]}")
        )
        rules.add_row(Text(rule, "blue"), f"{active} active", f"{known} done")
    parts.append(rules)
    final, left = len(run.final_failures), run.time_left()
    counts = Text(f"{run.done} of {run.total} done, {len(run.active)} active")
    if run.retried:
        counts.append(f", {run.retried} retried")
    if final:
        counts.append(f", {final} FAILED", "red")
    counts.append(f", {duration(run.elapsed())}")
    if left is not None:
        counts.append(f", ETA {duration(left)}")
    bar = Table.grid(expand=True, padding=(0, 1))
    bar.add_column(ratio=1)
    bar.add_column(no_wrap=True)
    bar.add_row(ProgressBar(total=max(run.total, 1), completed=run.done), counts)
    parts.append(bar)
    return Group(*parts)


def _active_rules(run: Run):
    from collections import Counter

    return Counter(job.rule for job in run.active.values())
