"""Batch workflows for the Cherenkov Telescope Array Observatory.

The package holds the logic; ``workflow/`` holds the Snakemake rules, each of which calls one
official tool or one ``cta-batch`` command. Sub-packages are imported on demand, because ctapipe and
Gammapy take seconds to import.
"""

from importlib.metadata import version as _version

__version__ = _version("ctabatch")
