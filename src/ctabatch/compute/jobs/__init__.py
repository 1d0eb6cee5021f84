"""Jobs of workflow runs that are on a server: list, sum up, logs, kill."""

from ctabatch.compute.jobs.model import BatchJob, JobServer, Selection, job_order
from ctabatch.compute.jobs.open import open_jobs

__all__ = ["BatchJob", "JobServer", "Selection", "job_order", "open_jobs"]
