"""Which of Snakemake's messages are worth showing beside the progress."""

import logging
import re

#: What every run says, and what the progress shows better; all of it is in the log file.
_NOISE = re.compile(
    r"Select jobs to execute|Assuming unrestricted shared filesystem|Using shell:|host: |"
    r"Provided (cores|resources)|Rules claiming more threads|Execute \d+ jobs|Activating conda|"
    r"DAG of jobs will be updated|Updating checkpoint dependencies|Reasons:|None$|Using profile|"
    r"Building DAG of jobs|Job \S+ has been submitted with SLURM|Removing temporary output"
)


def worth_showing(record, text: str, settings) -> bool:
    """Tell whether a message without an event of its own is shown."""
    if not text.strip():
        return False
    if record.levelno >= logging.WARNING or settings.verbose:
        return True
    return record.levelno >= logging.INFO and not _NOISE.match(text)
