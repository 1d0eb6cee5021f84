"""Skip a test whose surroundings are absent; under ``REQUIRE=all`` that is a failure."""

import os

import pytest


def require(present, reason):
    """Go on if `present`, else skip the test, or fail it where everything is required.

    Parameters
    ----------
    present : bool
        Whether the needed part is there.
    reason : str
        What is absent and how to provide it.
    """
    if present:
        return
    if os.environ.get("REQUIRE") == "all":
        pytest.fail(f"REQUIRE=all, but {reason}")
    pytest.skip(reason)
