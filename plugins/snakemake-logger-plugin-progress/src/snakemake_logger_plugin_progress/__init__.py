"""Snakemake logger plug-in: progress of a run by state and site, time left, failures first."""

import logging
import sys
import threading
from dataclasses import dataclass, field

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_progress.display import Lines, Terminal
from snakemake_logger_plugin_progress.failures import describe, summary
from snakemake_logger_plugin_progress.messages import worth_showing
from snakemake_logger_plugin_progress.run import Run
from snakemake_logger_plugin_progress.slurm import QueueWatcher

__all__ = ["LogHandler", "LogHandlerSettings"]


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """What can be set; see the help of each field."""

    interval: float = field(
        default=30.0,
        metadata={"help": "Seconds between two lines of progress where there is no terminal."},
    )
    tail: int = field(
        default=25, metadata={"help": "Lines of the logs of failed jobs that are shown."}
    )
    squeue_interval: float = field(
        default=30.0,
        metadata={"help": "Seconds between two looks at Slurm's queue; 0 for none."},
    )


class LogHandler(LogHandlerBase):
    """Follows the events of a run and shows them."""

    def __post_init__(self):
        """Choose between a live display and lines."""
        common, settings = self.common_settings, self.settings or LogHandlerSettings()
        self.settings = settings
        self.run = Run()
        self._lock = threading.RLock()
        self._broken = self._closed = False
        quiet = {str(getattr(item, "name", item)).lower() for item in common.quiet or ()}
        self._quiet_all = "all" in quiet
        self._quiet = self._quiet_all or "progress" in quiet
        stream = sys.stdout if common.stdout else sys.stderr
        live = stream.isatty() and not (common.dryrun or self._quiet)
        self.display = (
            Terminal(self.run, stream, common.nocolor, self._lock)
            if live
            else Lines(self.run, stream, self._lock, 0 if self._quiet else settings.interval)
        )
        self.queue = QueueWatcher(self._places, settings.squeue_interval)

    def emit(self, record):
        """Take note of a record and show it where it is worth it."""
        try:
            with self._lock:
                self._handle(record)
        except Exception as error:
            # the display must never end a run, nor bury it under tracebacks
            if not self._broken:
                self._broken = True
                self.display.say(
                    f"The display of the progress failed ({type(error).__name__}: {error}); the "
                    "run goes on, see its log below .snakemake/log.",
                    logging.WARNING,
                )

    def _handle(self, record):
        event = getattr(record, "event", None)
        text = record.getMessage() if record.msg else ""
        failure = self.run.note(event, record, text)
        if places := getattr(record, "places", None):
            self.run.set_places("executor", places)
        self.queue.note(text)
        if self.common_settings.dryrun:
            self._plain(event, record)
        elif failure is not None:
            lines = self.settings.tail if self.common_settings.show_failed_logs else 0
            if not self._quiet_all:
                self.display.say(describe(failure, lines), logging.ERROR)
        elif event is None or event == LogEvent.ERROR:
            if worth_showing(record, text, self.common_settings) and not (
                self._quiet_all and record.levelno < logging.ERROR
            ):
                self.display.say(text, record.levelno)
        elif event == LogEvent.RUN_INFO and not self._quiet:
            self.display.say(text, logging.INFO)
            self.display.start()
        elif (
            event == LogEvent.DEBUG_DAG
            or (self.common_settings.verbose and event in (LogEvent.JOB_INFO, LogEvent.SHELLCMD))
            or (event == LogEvent.SHELLCMD and self.common_settings.printshellcmds)
        ):
            self._plain(event, record)
        self.display.changed()

    def _plain(self, event, record):
        """Show a record as Snakemake itself would."""
        from snakemake.logging import DefaultFilter, DefaultFormatter

        common = self.common_settings
        keep = DefaultFilter(
            common.quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
        )
        if keep.filter(record):
            text = DefaultFormatter(common.quiet, False).format(record)
            if text and text != "None":
                self.display.say(text, record.levelno)

    def _places(self, places):
        with self._lock:
            self.run.set_places("slurm", places)
            self.display.changed()

    def close(self):
        """End the display and sum up, once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self.queue.stop()
        self.display.stop()
        if not self._quiet_all and not self.common_settings.dryrun and self.run.started:
            for text, level in summary(self.run):
                self.display.say(text, level)
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """It writes to stderr or stdout, instead of Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It writes no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """All events are needed for counting, also those that are not shown."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It makes its own texts."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """The graph of the rules is not used."""
        return False
