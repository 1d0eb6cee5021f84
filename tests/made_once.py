"""What is expensive to make and needed by several processes of pytest-xdist is made by the first."""

import os
import shutil

from filelock import FileLock


def made_once(tmp_path_factory, name, make):
    """Copy of the folder that `make(folder)` fills once a session, whichever process comes first.

    The others wait for it. Each process gets a copy of its own, so that its tests may change it; a
    failure is not tried again, for it would take as long and fail as well.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the process is below the session's
    original, failure = base / name, base / f"{name}.failed"
    with FileLock(base / f"{name}.lock"):
        if not original.exists():
            original.mkdir()
            try:
                make(original)
            except BaseException as error:
                failure.write_text(str(error))
                raise
    assert not failure.exists(), f"{name} failed in another process:\n{failure.read_text()}"
    return shutil.copytree(original, tmp_path_factory.mktemp(name) / "copy", symlinks=True)
