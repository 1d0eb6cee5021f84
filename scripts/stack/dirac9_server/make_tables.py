"""Make the SQL tables and OpenSearch index templates of the databases in the environment.

``python -m diracx.db init-sql`` and ``init-os`` in one process: most of their time is importing.
"""

import asyncio

from diracx.db.__main__ import init_os, init_sql


async def _make():
    await init_sql()
    await init_os()


asyncio.run(_make())
