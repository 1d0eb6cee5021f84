"""What a killed run left and no later job makes or reads again: temporary files, records.

Snakemake removes a temporary file when the last job that reads it has ended. A main process that is
killed just then leaves it, and the next run, which finds the job's result, does not look at it again.
"""

import asyncio
from pathlib import Path

from ctabatch.running import begun

#: Questions to a storage that are open at the same time.
TOGETHER = 32


def remove_leftovers(workflow, storage: bool) -> int:
    """Remove temporary files of the jobs of a run that ended well, unless somebody asked for them.

    A run that was told to leave jobs out (``--until``, ``--omit-from``) keeps them: those jobs may
    read them one day.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
        After its last job. ``--notemp`` keeps all files.
    storage : bool
        Whether to ask the storage, too, where there is one: a question a file.

    Returns
    -------
    int
        Number of files that were removed.
    """
    settings, dag = workflow.dag_settings, workflow.dag
    if storage:
        _forget_begun(dag)
    if workflow.storage_settings.notemp or settings.until or settings.omit_from:
        return 0
    files = [
        file
        for job in dag.jobs
        if job not in dag.targetjobs
        for file in job.output
        if file.flags.get("temp")
        and (storage or not file.is_storage)
        and not dag.is_needed_tempfile(job, file)
    ]
    removed = workflow.async_run(_remove(files))
    if removed:
        from snakemake.logging import logger

        logger.info(f"removed {removed} temporary file(s) that an earlier run left")
    return removed


def _forget_begun(dag):
    """Remove Snakemake's records of outputs in a storage that a killed run had begun.

    Their jobs went on and ended meanwhile. Behind a checkpoint Snakemake 9.27 neither looks at such
    a record nor removes it.
    """
    names = {
        str(file.storage_object.query) for job in dag.jobs for file in job.output if file.is_storage
    }
    for record, name in begun(Path(".snakemake/incomplete")):
        if name in names:
            record.unlink(missing_ok=True)


async def _remove(files):
    removed = 0
    for first in range(0, len(files), TOGETHER):
        removed += sum(await asyncio.gather(*map(_remove_one, files[first : first + TOGETHER])))
    return removed


async def _remove_one(file):
    if not await file.exists():
        return False
    await file.remove(remove_non_empty_dir=True)
    return True
