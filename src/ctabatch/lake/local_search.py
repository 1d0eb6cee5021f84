"""A query as SQL on the catalogue's rows of typed metadata values."""

import sqlite3

from ctabatch.lake.query import Condition, Query

_OUTPUT = "d.did, d.bytes, d.adler32, d.metadata"

#: Rows that are counted at most to find the condition which selects fewest.
_GLANCE = 500


def select(connection: sqlite3.Connection, query: Query) -> list[tuple]:
    """Return DID, size, adler32 and metadata (JSON) of the files that match, each once.

    Parameters
    ----------
    connection : sqlite3.Connection
        In a transaction, so that all alternatives see the same state.
    query : ctabatch.lake.query.Query
        What to find.

    Returns
    -------
    list of tuple
    """
    keys = {
        name: connection.execute("SELECT id FROM keys WHERE name = ?", [name]).fetchone()
        for name in query.keys
    }
    found = {}
    for conditions in query.alternatives:
        if any(keys[condition.key] is None for condition in conditions):
            continue  # nobody has the key
        terms = [_term(condition, keys[condition.key][0]) for condition in conditions]
        for row in _alternative(connection, terms):
            found[row[0]] = row
    return list(found.values())


def _term(condition: Condition, key: int) -> tuple[str, list]:
    if condition.kind == "pattern":
        pattern = condition.value.replace("[", "[[]").replace("?", "[?]")
        operator = "GLOB" if condition.op == "=" else "NOT GLOB"
        return f"key_id = ? AND text {operator} ?", [key, pattern]
    return f"key_id = ? AND {condition.kind} {condition.op} ?", [key, condition.operand]


def _alternative(connection: sqlite3.Connection, terms: list[tuple[str, list]]) -> list[tuple]:
    if not terms:
        return connection.execute(f"SELECT {_OUTPUT} FROM dids d WHERE d.kind = 'file'").fetchall()
    if len(terms) > 1:
        terms = sorted(terms, key=lambda term: _glance(connection, term))
    # CROSS JOIN keeps this order: the narrowest condition by its index, the others row by row.
    sql = f"SELECT {_OUTPUT} FROM attributes a CROSS JOIN dids d ON d.id = a.did_id WHERE a."
    sql += terms[0][0].replace(" AND ", " AND a.")
    values = list(terms[0][1])
    for clause, parameters in terms[1:]:
        sql += f" AND EXISTS (SELECT 1 FROM attributes WHERE did_id = a.did_id AND {clause})"
        values += parameters
    return connection.execute(sql, values).fetchall()


def _glance(connection: sqlite3.Connection, term: tuple[str, list]) -> int:
    clause, parameters = term
    return connection.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM attributes WHERE {clause} LIMIT {_GLANCE})",
        parameters,
    ).fetchone()[0]
