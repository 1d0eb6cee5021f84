"""Watching jobs: a live table on a terminal, a line for each change elsewhere."""

import sys
import time

import click


def watch_jobs(find, interval: float, as_json: bool):
    """Show jobs until none is under way; exits with 1 if any has failed.

    Parameters
    ----------
    find : callable
        Returns the list of jobs.
    interval : float
        Seconds between two looks.
    as_json : bool
        Print a line of JSON for each change.
    """
    live = not as_json and sys.stdout.isatty()
    show = LiveTable if live else JsonLines if as_json else Lines
    with show() as update:
        while True:
            found = find()
            update(found)
            if not any(job.kind in ("running", "waiting", "stalled") for job in found):
                break
            time.sleep(interval)
    if any(job.kind == "failed" for job in found):
        sys.exit(1)


def summary_line(found) -> str:
    """Sum up jobs in a line: failures first."""
    from ctabatch.compute.jobs.model import counts

    parts = []
    for row in counts(found):
        where = f" at {row['site']}" if row["site"] else ""
        parts.append(f"{row['jobs']} {row['state']}{where}")
    return "; ".join(parts) or "no jobs"


class Lines:
    """Print a line for each change."""

    def __enter__(self):
        self.said = None
        return self.update

    def update(self, found):
        """Print, if it is news."""
        text = self.text(found)
        if text != self.said:
            self.said = text
            click.echo(self.stamped(text))

    def text(self, found):
        """Sum up jobs."""
        return summary_line(found)

    def stamped(self, text):
        """Add the time where people read it."""
        return f"{time.strftime('%H:%M:%S')} {text}"

    def __exit__(self, *exception):
        pass


class JsonLines(Lines):
    """Print a line of JSON for each change."""

    def text(self, found):
        """Sum up jobs."""
        import json

        from ctabatch.compute.jobs.model import counts

        return json.dumps(counts(found))

    def stamped(self, text):
        """Add the time where people read it."""
        return text


class LiveTable:
    """A live table, failures first; what has ended stays on the terminal."""

    def __enter__(self):
        from rich.live import Live

        self.live = Live(auto_refresh=False)
        self.live.start()
        return self.update

    def update(self, found):
        """Show the present state."""
        self.live.update(table(found), refresh=True)

    def __exit__(self, *exception):
        self.live.stop()


def table(found):
    """Make the table: counts, then the first of those that failed."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from ctabatch.compute.jobs.model import counts

    colours = {"failed": "red", "stalled": "yellow", "running": "green", "done": "dim"}
    shown = Table("run", "state", "site", "jobs", title=f"{len(found)} jobs")
    for row in counts(found):
        style = colours.get(row["kind"], "")
        cells = (row["run"], row["state"], row["site"], str(row["jobs"]))
        shown.add_row(*(Text(cell, style) for cell in cells))
    failed = [job for job in found if job.kind == "failed"][:10]
    lines = [Text(f"{j.id} {j.rule}: {j.state} at {j.site or '?'}", "red") for j in failed]
    return Group(*lines, shown)
