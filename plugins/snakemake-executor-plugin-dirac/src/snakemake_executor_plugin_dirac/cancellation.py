"""Stopping jobs: all in one call, whatever their number."""

from datetime import UTC, datetime

from snakemake_executor_plugin_dirac.errors import ServerRefusedError

#: States in which a job can no longer be killed.
ENDED = {"Done", "Completed", "Failed", "Killed", "Deleted"}
#: Seconds ahead of the server's clock, call after call: it ignores a change that is older than
#: the job's last one.
MARGINS = (1, 10, 100)


async def kill(connection, job_ids, patience: float | None = None) -> int:
    """Kill jobs in one call; jobs that are gone or not ours are left out in a second one.

    Parameters
    ----------
    connection : Connection
        To the server.
    job_ids : iterable of int
        DIRAC's numbers.
    patience : float, optional
        Seconds to go on trying; as long as for anything else by default.

    Returns
    -------
    int
        How many jobs the server killed.
    """
    left, killed = list(job_ids), 0
    for margin in MARGINS:
        if not left:
            break
        try:
            answer = await _kill(connection, left, margin, patience)
        except ServerRefusedError as error:
            # A single id that is gone or not the user's makes the server refuse the whole call.
            if error.status not in (403, 404):
                raise
            stopped = set()
        else:
            stopped = {int(i) for i, change in answer.success.items() if change.status == "Killed"}
        killed += len(stopped)
        left = [number for number in left if number not in stopped]
        if left:
            left = await _still_there(connection, left, patience)
    return killed


async def _kill(connection, job_ids, margin, patience):
    when = datetime.fromtimestamp(connection.server_time() + margin, UTC).isoformat()
    change = {"Status": "Killed", "MinorStatus": "Marked for termination", "Source": "User"}
    body = {str(number): {when: change} for number in job_ids}
    return await connection.call(
        f"kill {len(job_ids)} jobs", lambda api: api.jobs.set_job_statuses(body), patience=patience
    )


async def _still_there(connection, job_ids, patience):
    user = await connection.call("ask who I am", lambda api: api.auth.userinfo(), patience=patience)
    rows = await connection.call(
        "look which jobs exist",
        lambda api: api.jobs.search(
            parameters=["JobID", "Status"],
            search=[
                {"parameter": "JobID", "operator": "in", "values": job_ids},
                {"parameter": "Owner", "operator": "eq", "value": user.preferred_username},
            ],
            per_page=10000,
        ),
        patience=patience,
    )
    return [row["JobID"] for row in rows if row["Status"] not in ENDED]
