"""The Rucio REST application for gunicorn.

Names of CTAO begin with a slash: a client asks for ``/dids/<scope>/%2Fctao...``, which gunicorn
decodes to a double slash. The policy package expects one, as Apache's MergeSlashes leaves it.
"""

import re

from rucio.web.rest.main import application as rucio


def application(environ, start_response):
    """Serve a request with runs of slashes in its path merged."""
    environ["PATH_INFO"] = re.sub("/{2,}", "/", environ.get("PATH_INFO", "/"))
    return rucio(environ, start_response)
