"""The client's parts against a real DiracX server, through faults of network, server and login."""

import asyncio
import json
import logging
import time
import uuid

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_plugin_dirac import jdl, sandbox, sources
from snakemake_executor_plugin_dirac.adoption import Adoption
from snakemake_executor_plugin_dirac.cancellation import kill
from snakemake_executor_plugin_dirac.checks import Limits
from snakemake_executor_plugin_dirac.errors import LoginLostError, PassingError
from snakemake_executor_plugin_dirac.settings import ExecutorSettings
from snakemake_executor_plugin_dirac.status import Monitor, Tracked, look
from snakemake_executor_plugin_dirac.submission import Ready, Submitter


class Job:
    """All of a Snakemake job that the submitter needs: an identity."""


class Submission:
    """A submitter and what it reported."""

    def __init__(self, connection, folder, group=None):
        self.connection = connection
        self.group = group or f"t-{uuid.uuid4().hex[:12]}"
        self.adoption = Adoption(connection, self.group, "alice", "dteam", folder)
        connection.run(self.adoption.scan())
        self.submitted, self.failed, self.broken = {}, [], []
        self.submitter = Submitter(
            connection,
            self.group,
            pack=lambda batch: sources.build_sandbox(b"", sources.job_table([]), b""),
            find=self.adoption.find,
            kill=lambda numbers: kill(connection, numbers),
            submitted=self.note,
            failed=lambda ready, error: self.failed.append((ready.name, error)),
            broken=self.broken.append,
        )

    def note(self, ready, number):
        self.adoption.known.add(number)
        self.submitted[ready.name] = number

    def send(self, number, needs=None, wait=60):
        # "hold" keeps the optimisers of the stand-in away: the jobs stay where they are
        names = [f"hold{i}.{i:016x}.{'0' * 16}" for i in range(number)]
        self.submitter.put([Ready(Job(), name, needs or jdl.Needs(), []) for name in names])
        end = time.monotonic() + wait
        while len(self.submitted) + len(self.failed) < number and not self.broken:
            assert time.monotonic() < end
            time.sleep(0.05)
        return names

    def on_server(self):
        where = [{"parameter": "JobGroup", "operator": "eq", "value": self.group}]
        return self.connection.run(
            self.connection.call(
                "look",
                lambda api: api.jobs.search(
                    parameters=["JobID", "JobName", "Status"], search=where, per_page=10000
                ),
            )
        )


@pytest.fixture
def hold(grid):
    grid.faults([{"match": "hold", "fault": "hold"}])


def test_bulk_submission_poll_and_kill(connect, tmp_path, hold):
    connection = connect()
    sent = Submission(connection, tmp_path)
    before = connection.requests
    names = sent.send(105)
    # one sandbox, one request for each 20 jobs
    assert connection.requests - before == 1 + 6
    rows = sent.on_server()
    assert sorted(row["JobName"] for row in rows) == sorted(names)
    assert {row["JobID"] for row in rows} == set(sent.submitted.values())

    before = connection.requests
    states = connection.run(look(connection, sent.submitted.values()))
    assert connection.requests - before == 1
    assert len(states) == 105

    before = connection.requests
    assert connection.run(kill(connection, sent.submitted.values())) == 105
    assert connection.requests - before == 1
    assert {row["Status"] for row in sent.on_server()} == {"Killed"}


def test_lost_answer_makes_no_duplicate(connect, proxy, tmp_path, hold, caplog):
    sent = Submission(connect(proxy.url), tmp_path)
    proxy.inject("/api/jobs/jdl", "lose", 2)
    names = sent.send(45)
    rows = sent.on_server()
    assert sorted(row["JobName"] for row in rows) == sorted(names)
    assert sent.submitted == {row["JobName"]: row["JobID"] for row in rows}
    assert "looking whether the jobs exist" in caplog.text


def test_errors_of_the_server_are_outlived(connect, proxy, tmp_path, hold):
    connection = connect(proxy.url)
    sent = Submission(connection, tmp_path)
    proxy.inject("/api/jobs/jdl", 503, 2)
    proxy.inject("/api/jobs/sandbox", 502, 1)
    names = sent.send(3)
    assert len(sent.on_server()) == len(names) == 3
    proxy.inject("/api/jobs/search", 500, 2)
    proxy.inject("/api/jobs/search", "lose", 1)
    assert len(connection.run(look(connection, sent.submitted.values()))) == 3


def test_one_foreign_id_does_not_stop_a_kill(connect, tmp_path, hold):
    mine, other = connect(), connect(user="bob")
    theirs = Submission(other, tmp_path)
    theirs.adoption.mine[1]["value"] = "bob"
    theirs.send(1)
    sent = Submission(mine, tmp_path)
    sent.send(2)
    numbers = [*sent.submitted.values(), *theirs.submitted.values(), 99999999]
    assert mine.run(kill(mine, numbers)) == 2
    assert {row["Status"] for row in theirs.on_server()} == {"Received"}


def test_two_users_with_the_same_names(connect, tmp_path, hold):
    """Alice adopts her own jobs only, though names and group are bob's, too."""
    theirs = Submission(connect(user="bob"), tmp_path)
    theirs.adoption.mine[1]["value"] = "bob"
    names = theirs.send(2)
    mine = Submission(connect(), tmp_path, theirs.group)
    assert [mine.adoption.live(name) for name in names] == [None, None]
    mine.send(2)
    assert not set(mine.submitted.values()) & set(theirs.submitted.values())
    again = Submission(connect(), tmp_path, theirs.group)
    assert [again.adoption.live(name) for name in names] == [mine.submitted[n] for n in names]


def test_same_outputs_other_content_is_a_rival(connect, tmp_path, hold):
    sent = Submission(connect(), tmp_path)
    (name,) = sent.send(1)
    later = Submission(connect(), tmp_path, sent.group)
    changed = name[:-16] + "f" * 16
    assert later.adoption.live(changed) is None
    assert later.adoption.rivals(changed) == [sent.submitted[name]]


def test_server_down_at_start(connect):
    connection = connect("http://127.0.0.1:9")
    begin = time.monotonic()
    with pytest.raises(PassingError):
        connection.run(connection.call("reach it", lambda api: api.auth.userinfo(), patience=2))
    assert time.monotonic() - begin < 20


def test_server_away_for_a_while(connect, stack, tmp_path, hold, caplog):
    import diracx_part

    caplog.set_level(logging.INFO)
    connection = connect()
    sent = Submission(connection, tmp_path)
    sent.send(2)
    stack.stop("diracx")
    try:
        poll = connection.submit(look(connection, sent.submitted.values()))
        time.sleep(4)
        assert not poll.done()
    finally:
        diracx_part.start_server(stack)
    assert len(poll.result(60)) == 2
    assert "Trying again; jobs go on meanwhile" in caplog.text
    assert "the server answers again" in caplog.text


def _sign(stack, token, **claims):
    """Sign a token of the server anew, with its own key, under other claims."""
    from base64 import urlsafe_b64decode

    import jwt
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    content = jwt.decode(token, options={"verify_signature": False}) | claims
    key = json.loads((stack.folder / "jwks.json").read_text())["keys"][0]
    secret = Ed25519PrivateKey.from_private_bytes(urlsafe_b64decode(key["d"] + "=="))
    return jwt.encode(content, secret, "EdDSA", headers={"kid": key["kid"]})


def _make_refused(connection, stack):
    """Let the access token run out while its file says that it holds."""
    content = json.loads(connection.file.read_text())
    content["access_token"] = _sign(stack, content["access_token"], exp=int(time.time()) - 60)
    content["expires_on"] = int(time.time()) + 3600
    connection.file.write_text(json.dumps(content))
    if connection._client is not None:
        connection._client._config.authentication_policy._token = None


def test_token_that_ran_out_is_refreshed(connect, stack):
    connection = connect()
    ask = connection.call("ask", lambda api: api.auth.userinfo())
    assert connection.run(ask).preferred_username == "alice"
    _make_refused(connection, stack)
    refused = json.loads(connection.file.read_text())["access_token"]

    async def many():
        return await asyncio.gather(
            *(connection.call("ask", lambda api: api.auth.userinfo()) for _ in range(10))
        )

    assert len(connection.run(many())) == 10
    assert json.loads(connection.file.read_text())["access_token"] != refused


def test_login_that_is_lost(connect, stack):
    connection = connect()
    content = json.loads(connection.file.read_text())
    content["refresh_token"] = _sign(stack, content["refresh_token"], exp=int(time.time()) - 60)
    connection.file.write_text(json.dumps(content))
    _make_refused(connection, stack)
    with pytest.raises(LoginLostError, match="dirac login"):
        connection.run(connection.call("ask", lambda api: api.auth.userinfo()))


def test_sandbox_is_stored_once_and_comes_back(connect, tmp_path):
    connection = connect()
    content = sources.build_sandbox(uuid.uuid4().bytes, sources.job_table([]), b"")
    first = connection.run(sandbox.upload(connection, content))
    assert connection.run(sandbox.upload(connection, content)) == first


def test_unknown_site_and_limits(connect):
    connection = connect()
    user = connection.run(connection.call("ask", lambda api: api.auth.userinfo()))
    logger = logging.getLogger("dirac")
    with pytest.raises(WorkflowError, match=r"unknown site 'LCG.Paranal.ch' .*LCG.Paranal.cl"):
        connection.run(
            Limits(ExecutorSettings(sites="LCG.Paranal.ch")).load(connection, user, logger)
        )
    limits = Limits(ExecutorSettings(max_processors=16))
    connection.run(limits.load(connection, user, logger))
    assert limits.sites["LCG.Paranal.cl"] is None
    assert limits.sites["LCG.Zeuthen.de"] == "scheduled downtime"
    with pytest.raises(WorkflowError, match=r"processors \(threads\) 64, .* more than 16"):
        limits.check(jdl.Needs(processors=64))
    with pytest.raises(WorkflowError, match=r"CPUTime .* 600000, .* more than 500000"):
        limits.check(jdl.Needs(cpu_time=600000))


def test_quiet_and_waiting_jobs_are_given_up(connect, tmp_path, hold):
    connection = connect()
    sent = Submission(connection, tmp_path)
    (name,) = sent.send(1, jdl.Needs(tags=("NoSiteHasThis",)))
    settings = ExecutorSettings(waiting_limit=0.02)
    monitor = Monitor(connection, settings, logging.getLogger("dirac"))
    monitor.add(sent.submitted[name], Tracked(None, name, jdl.Needs(tags=("NoSiteHasThis",))))
    end = time.monotonic() + 20
    while not (ended := connection.run(monitor.poll())):
        assert time.monotonic() < end
        time.sleep(0.2)
    verdict = ended[0][2]
    assert not verdict.done
    assert verdict.kill
    assert "tags NoSiteHasThis" in verdict.reason
