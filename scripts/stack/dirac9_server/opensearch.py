"""The calls of OpenSearch that DIRAC's and DiracX's job parameters make, kept in memory.

OpenSearch itself is on none of the package indices that this stack is built from. A call which
is not known here is answered by 400 and its name, never by an empty success.
"""

import fnmatch
import itertools
import json
import re

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

VERSION = {
    "distribution": "opensearch",
    "number": "2.11.0",
    "minimum_wire_compatibility_version": "7.10.0",
}
INDICES: dict[str, dict[str, dict]] = {}
NUMBERS = itertools.count(1)
ALL = ["GET", "HEAD", "PUT", "POST", "DELETE"]
COMPARE = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


class Unsupported(Exception):  # noqa: N818 - not an error of this server
    """A request which this stand-in does not know."""


def _matches(document: dict, query: dict) -> bool:
    ((kind, body),) = query.items()
    if kind == "match_all":
        return True
    if kind == "bool":
        if set(body) - {"must", "filter", "must_not"}:
            raise Unsupported(f"bool with {sorted(body)}")
        wanted = [*body.get("must", []), *body.get("filter", [])]
        unwanted = body.get("must_not", [])
        return all(_matches(document, part) for part in wanted) and not any(
            _matches(document, part) for part in unwanted
        )
    ((field, value),) = body.items()
    found = document.get(field.removesuffix(".keyword"))
    if kind in ("term", "match"):
        if isinstance(value, dict):
            value = value.get("value", value.get("query"))
        return str(found) == str(value)
    if kind == "terms":
        return str(found) in {str(item) for item in value}
    if kind == "range":
        return found is not None and all(COMPARE[sign](found, end) for sign, end in value.items())
    raise Unsupported(f"query {kind}")


def _hit(index: str, number: str) -> dict:
    common = {"_index": index, "_id": number}
    document = INDICES.get(index, {}).get(number)
    if document is None:
        return {**common, "found": False}
    return {**common, "found": True, "_version": 1, "_score": 1.0, "_source": document}


def _update(index: str, number: str, body: dict) -> tuple[dict, int]:
    documents = INDICES.setdefault(index, {})
    if number not in documents:
        if not body.get("doc_as_upsert"):
            return {"error": {"type": "document_missing_exception"}, "status": 404}, 404
        documents[number] = {}
    if "script" in body:
        script = body["script"]
        source = script["source"] if isinstance(script, dict) else script
        removed = re.fullmatch(r"ctx\._source\.remove\(['\"](.+)['\"]\)", source.strip())
        if not removed:
            raise Unsupported(f"script {source}")
        documents[number].pop(removed[1], None)
    else:
        documents[number].update(body["doc"])
    return {"_index": index, "_id": number, "result": "updated", "_version": 1, "_shards": {}}, 200


def _bulk(index: str, text: bytes) -> dict:
    items = []
    lines = iter([json.loads(line) for line in text.splitlines() if line.strip()])
    for action in lines:
        ((kind, target),) = action.items()
        name, number = target.get("_index", index), str(target.get("_id", next(NUMBERS)))
        if kind == "delete":
            gone = INDICES.get(name, {}).pop(number, None)
            answer, status = {"_id": number}, 404 if gone is None else 200
        elif kind == "update":
            answer, status = _update(name, number, next(lines))
        else:
            INDICES.setdefault(name, {})[number] = next(lines)
            answer, status = {"_index": name, "_id": number}, 201
        items.append({kind: {**answer, "status": status}})
    failed = any(item["status"] >= 300 for entry in items for item in entry.values())
    return {"took": 1, "errors": failed, "items": items}


def _search(patterns: str, body: dict) -> list[tuple[str, str]]:
    query = body.get("query", {"match_all": {}})
    return [
        (index, number)
        for index, documents in INDICES.items()
        if any(fnmatch.fnmatch(index, pattern) for pattern in patterns.split(","))
        for number, document in documents.items()
        if _matches(document, query)
    ]


def _found(pattern: str, body: dict) -> dict:
    hits = _search(pattern, body)
    first, size = body.get("from", 0), body.get("size", 10)
    page = [_hit(*hit) for hit in hits[first : first + size]]
    total = {"value": len(hits), "relation": "eq"}
    return {"took": 1, "timed_out": False, "hits": {"total": total, "max_score": 1, "hits": page}}


def _index(method: str, name: str) -> tuple[dict | None, int]:
    if method == "HEAD":
        return None, 200 if name in INDICES else 404
    if method == "PUT":
        INDICES.setdefault(name, {})
        return {"acknowledged": True, "shards_acknowledged": True, "index": name}, 200
    if method == "DELETE":
        INDICES.pop(name, None)
        return {"acknowledged": True}, 200
    return {name: {"aliases": {}, "mappings": {"properties": {}}}}, 200


def _document(method: str, index: str, number: str, body: dict) -> tuple[dict | None, int]:
    documents = INDICES.setdefault(index, {})
    present = number in documents
    if method == "HEAD":
        return None, 200 if present else 404
    if method == "GET":
        return _hit(index, number), 200 if present else 404
    result = "deleted" if present else "not_found"
    if method == "DELETE":
        documents.pop(number, None)
    else:
        documents[number] = body
        result = "created"
    answer = {"_index": index, "_id": number, "result": result, "_version": 1, "_shards": {}}
    return answer, 201 if result == "created" else 200


def _answer(method: str, parts: list[str], raw: bytes) -> tuple[dict | None, int]:
    if not parts:
        name = {"name": "stack", "cluster_name": "stack", "cluster_uuid": "stack"}
        return {**name, "version": VERSION}, 200
    if parts[-1] == "_bulk":
        return _bulk(parts[0], raw), 200
    body = json.loads(raw) if raw else {}
    if parts[0] in ("_index_template", "_template"):
        return {"acknowledged": True}, 200
    if parts[-1] == "_mget":
        return {"docs": [_hit(item["_index"], str(item["_id"])) for item in body["docs"]]}, 200
    if len(parts) == 1:
        return _index(method, parts[0])
    index, action = parts[:2]
    if action in ("_doc", "_create"):
        number = parts[2] if len(parts) > 2 else str(next(NUMBERS))
        return _document(method, index, number, body)
    if action == "_update":
        return _update(index, parts[2], body)
    if action == "_search":
        return _found(index, body), 200
    if action == "_delete_by_query":
        hits = _search(index, body)
        for name, number in hits:
            INDICES[name].pop(number)
        return {"deleted": len(hits), "failures": []}, 200
    if action == "_refresh":
        return {"_shards": {}}, 200
    raise Unsupported(f"{method} {'/'.join(parts)}")


async def _handle(request: Request) -> Response:
    parts = [part for part in request.url.path.split("/") if part]
    try:
        answer, status = _answer(request.method, parts, await request.body())
    except Unsupported as error:
        return JSONResponse({"error": f"not in this stand-in: {error}"}, 400)
    return Response(status_code=status) if answer is None else JSONResponse(answer, status)


app = Starlette(routes=[Route("/{path:path}", _handle, methods=ALL)])
