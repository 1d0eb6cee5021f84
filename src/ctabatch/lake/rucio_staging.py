"""Staging in a Rucio lake: one rule a request, on a dataset that is named after what was asked.

A rule of its own never touches other people's or the ingest's; the same ask finds the same dataset
and rule. Rucio's daemons make the copies, and delete them some time after the rule ended.
"""

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ctabatch.errors import LakeError
from ctabatch.lake.base import Progress, StageRequest
from ctabatch.lake.eta import time_left
from ctabatch.lake.rucio_catalogue import RucioCatalogue
from ctabatch.lake.rucio_session import RucioSession, chunks, did_dict
from ctabatch.lake.rucio_space import wait_for_space
from ctabatch.lake.rucio_storage import RucioStorage

logger = logging.getLogger(__name__)

#: The staging datasets vanish so long after their rules, seconds.
_GRACE = 86400

_FIRST_POLL, _LAST_POLL = 0.5, 30.0

#: Longest text in the metadata of a rule.
_NOTE_LENGTH = 3900

#: Files named in an error.
_NAMED = 3


@dataclass
class RucioStaging:
    """Staging requests of one account.

    Parameters
    ----------
    session, catalogue, storage
        The parts of the lake.
    scope : str
        Scope of the staging datasets.
    folder : str
        Where their names begin.
    """

    session: RucioSession
    catalogue: RucioCatalogue
    storage: RucioStorage
    scope: str
    folder: str

    def stage(self, dids: Sequence[str], rse: str, lifetime: float) -> StageRequest:
        """Ask for copies, or prolong what was asked; see `ctabatch.lake.base.DataLake.stage`."""
        asked = tuple(sorted(dids))
        files = self.catalogue.files(asked)
        held = self.catalogue.replicas(list(files))
        there = {did: {replica.rse for replica in copies} for did, copies in held.items()}
        lost = [did for did, places in there.items() if not places]
        if lost:
            raise LakeError(f"{lost[0]} has no copy anywhere", "ask the operators of the lake")
        # The end of a rule deletes what it held: it must never hold the only copy of a file.
        wanted = [did for did, places in there.items() if places != {rse}]
        if not wanted:
            return StageRequest((), asked, rse)
        name = self._name(asked, rse)
        rule = self._rule(name)
        if rule is None:
            missing = [did for did in wanted if rse not in there[did]]
            wait_for_space(
                self.session,
                self.storage,
                rse,
                sum(files[did].bytes for did in missing),
                self.session.settings.room_patience,
            )
            self._make_dataset(name, wanted)
            rule = self._add_rule(name, rse, lifetime, asked)
        if _remaining(rule) < lifetime:
            self._prolong(rule["id"], name, lifetime)
        return StageRequest((rule["id"],), asked, rse)

    def _name(self, asked: Sequence[str], rse: str) -> str:
        identity = hashlib.sha256(json.dumps([rse, asked]).encode()).hexdigest()[:32]
        return f"{self.folder}/{identity}"

    def held(self, dids: Sequence[str], rse: str) -> StageRequest | None:
        """Find the request for these DIDs; see `ctabatch.lake.base.DataLake.held`."""
        asked = tuple(sorted(dids))
        rule = self._rule(self._name(asked, rse))
        if rule is None or _remaining(rule) <= 0:
            return None
        return StageRequest((rule["id"],), asked, rse)

    def _rule(self, name: str) -> dict | None:
        rules = self.session.call(
            "list_replication_rules",
            {"account": self.session.account, "scope": self.scope, "name": name},
        )
        return rules[0] if rules else None

    def _make_dataset(self, name: str, files: Sequence[str]) -> None:
        from rucio.common.exception import DataIdentifierAlreadyExists

        did = f"{self.scope}:{name}"
        content = {}
        try:
            self.session.call(
                "add_dataset", self.scope, name, expected=("DataIdentifierAlreadyExists",)
            )
        except DataIdentifierAlreadyExists:
            content = self.catalogue.content([did])
        missing = [did_dict(item) for item in files if item not in content]
        for chunk in chunks(missing):
            self.session.call("attach_dids", self.scope, name, chunk)

    def _add_rule(self, name: str, rse: str, lifetime: float, asked: Sequence[str]) -> dict:
        from rucio.common.exception import DuplicateRule

        try:
            self.session.call(
                "add_replication_rule",
                [{"scope": self.scope, "name": name}],
                1,
                rse,
                lifetime=int(lifetime) + 1,
                grouping="DATASET",
                activity=self.session.settings.staging_activity,
                comment=f"ctabatch staging of {len(asked)} DIDs",
                meta=_note(asked),
                expected=("DuplicateRule",),
            )
        except DuplicateRule:
            logger.info("the staging request %s was made already", name)
        self._keep_dataset(name, lifetime)
        return self._rule(name)

    def _prolong(self, rule: str, name: str, lifetime: float) -> None:
        self.session.call("update_replication_rule", rule, {"lifetime": int(lifetime) + 1})
        self._keep_dataset(name, lifetime)

    def _keep_dataset(self, name: str, lifetime: float) -> None:
        self.session.call("set_metadata", self.scope, name, "lifetime", int(lifetime) + _GRACE)

    def requests(self) -> list[StageRequest]:
        """Return the requests that are held."""
        rules = [
            rule
            for rule in self.session.call(
                "list_replication_rules",
                {"account": self.session.account, "scope": self.scope},
            )
            if rule["name"].startswith(f"{self.folder}/") and _remaining(rule) > 0
        ]
        return [
            StageRequest((rule["id"],), self._asked(rule), rule["rse_expression"]) for rule in rules
        ]

    def _asked(self, rule: dict) -> tuple[str, ...]:
        noted = json.loads(json.loads(rule["meta"])) if rule["meta"] else None
        return tuple(noted or sorted(self.catalogue.content([f"{self.scope}:{rule['name']}"])))

    def release(self, request: StageRequest) -> None:
        """End the rule of a request; ending what has ended is nothing."""
        from rucio.common.exception import RuleNotFound

        for rule in request.ids:
            try:
                self.session.call(
                    "update_replication_rule", rule, {"lifetime": -1}, expected=("RuleNotFound",)
                )
            except RuleNotFound:
                logger.info("staging request %s was over already", rule)

    def wait(self, request: StageRequest, timeout: float | None, progress: Progress | None) -> None:
        """Wait for the copies; failed transfers are asked for again a few times."""
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        for rule in request.ids:
            self._wait(rule, request, deadline, progress)
        if progress and not request.ids:
            progress(len(request.dids), len(request.dids), "on disk already")

    def _wait(self, rule: str, request: StageRequest, deadline: float, progress) -> None:
        begin, pause, boosts, first = time.monotonic(), _FIRST_POLL, 0, None
        stuck_since = None
        while True:
            state = self._state(rule, request)
            ok, stuck = state["locks_ok_cnt"], state["locks_stuck_cnt"]
            total = ok + stuck + state["locks_replicating_cnt"]
            first = ok if first is None else first
            if progress:
                progress(ok, total, time_left(ok, first, total, time.monotonic() - begin))
            if state["state"] == "OK":
                return
            if state["state"] == "STUCK" and stuck_since != state["updated_at"]:
                if boosts == self.session.settings.boosts:
                    raise self._failure(rule, request, state)
                boosts += 1
                logger.warning(
                    "%d transfers to %s failed (%s): asked for again, %d of %d times",
                    stuck, request.rse, state["error"], boosts, self.session.settings.boosts,
                )  # fmt: skip
                stuck_since = self._boost(rule)
                pause = _FIRST_POLL
            if time.monotonic() >= deadline:
                raise LakeError(
                    f"{total - ok} of {total} files are not on {request.rse} yet",
                    "wait longer; the request is still held",
                )
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))
            # A tenth of the time so far: no call too many in a night, no wait too long in a minute.
            pause = min(max(pause, 0.1 * (time.monotonic() - begin)), _LAST_POLL)

    def _state(self, rule: str, request: StageRequest) -> dict:
        from rucio.common.exception import RuleNotFound

        try:
            state = self.session.call("get_replication_rule", rule, expected=("RuleNotFound",))
        except RuleNotFound:
            state = None
        if state is None or _remaining(state) <= 0:
            raise LakeError(
                f"staging request {rule} to {request.rse} is not held any more",
                "it was released or its lifetime is over; stage again",
            )
        if state["state"] == "SUSPENDED":
            raise LakeError(
                f"Rucio suspended the staging to {request.rse}: {state['error']}",
                "ask the operators of the lake",
            )
        return state

    def _boost(self, rule: str):
        self.session.call("update_replication_rule", rule, {"boost_rule": True})
        return self.session.call("get_replication_rule", rule)["updated_at"]

    def _failure(self, rule: str, request: StageRequest, state: dict) -> LakeError:
        stuck = state["locks_stuck_cnt"]
        locks = self.session.call("list_replica_locks", rule)
        names = sorted((lock["scope"], lock["name"]) for lock in locks if lock["state"] == "STUCK")
        reasons = [
            f"{scope}:{name} ({self._reason(scope, name, request.rse) or state['error']})"
            for scope, name in names[:_NAMED]
        ]
        more = f" and {stuck - _NAMED} more" if stuck > _NAMED else ""
        return LakeError(
            f"{stuck} files can't be staged to {request.rse}: {', '.join(reasons)}{more}",
            "the request is still held: wait again, or release it",
        )

    def _reason(self, scope: str, name: str, rse: str) -> str | None:
        history = self.session.call("list_request_history_by_did", name, rse, scope)
        return (history or {}).get("err_msg")


def _note(asked: Sequence[str]) -> str | None:
    """Write down what was asked, as far as a rule's metadata hold it."""
    text = json.dumps(asked)
    return text if len(text) <= _NOTE_LENGTH else None


def _remaining(rule: dict) -> float:
    """Seconds until a rule ends."""
    if rule["expires_at"] is None:
        return float("inf")
    return (rule["expires_at"].replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
