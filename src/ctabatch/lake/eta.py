"""How long the rest of a staging will take."""


def time_left(done: int, first: int, total: int, seconds: float) -> str:
    """Say how long the rest will take, from the pace so far.

    Parameters
    ----------
    done, total : int
        Files on disk now, and in the end.
    first : int
        Files that were on disk at the beginning.
    seconds : float
        Time since the beginning.
    """
    if done >= total:
        return "on disk"
    if done <= first or seconds <= 0:
        return "waiting for the tape"
    left = (total - done) * seconds / (done - first)
    return f"{left / 60:.0f} min left" if left > 90 else f"{left:.0f} s left"
