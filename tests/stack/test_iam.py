"""Logins against a real OpenID provider, with its faults."""

import json
import logging
import subprocess
import sys
import threading
import time
import webbrowser
from dataclasses import replace

import pytest
import requests
import yaml

from ctabatch.iam import device, session
from ctabatch.iam.errors import IamError, NotLoggedIn
from ctabatch.iam.identity import current_identity
from ctabatch.iam.store import LoginStore
from ctabatch.iam.tokens import OWN, access_token
from iam_tools import (
    CTA_BATCH,
    PERSON,
    age,
    claims_of,
    configuration,
    cta_batch,
    iam_settings,
    log_in,
    secrets_in,
    visit,
)

pytestmark = pytest.mark.xdist_group("iam")


@pytest.fixture(scope="session")
def iam_state(start_part):
    """The `common.State` of the identity provider."""
    return start_part("iam")


@pytest.fixture
def settings(iam_state):
    """Change the provider's life times and clock for one test."""
    import iam_part

    yield lambda **changes: iam_part.change_settings(iam_state, **changes)
    iam_part.change_settings(iam_state)


@pytest.fixture
def issuer(iam_state):
    return iam_state.env()["IAM_ISSUER"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Logins and working folder of a test of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def config(issuer):
    return configuration(iam_settings(issuer))


@pytest.fixture
def provider(config):
    return config.iam.providers["escape"]


@pytest.fixture
def grants(iam_state):
    """How many tokens the provider granted by a grant type during the test."""
    log = iam_state.logs / "iam.log"
    begin = len(log.read_text())
    return lambda kind: log.read_text()[begin:].count(f"granted {kind}")


def test_login_by_device_code_on_the_command_line(tmp_path, issuer, home):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"iam": iam_settings(issuer)}))
    with subprocess.Popen(
        [CTA_BATCH, "login", "--service", "lake", "--config", "config.yaml"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert "Open this address" in process.stdout.readline()
        address = process.stdout.readline().strip()
        assert "success" in visit(address, "pi")
        out, errors = process.communicate()
    assert process.returncode == 0, errors
    assert f"logged in to escape as Petra Investigator (pi at {issuer})" in out
    assert "projects: P42 P43" in out
    (login,) = home.rglob("logins/*.json")
    assert login.stat().st_mode & 0o777 == 0o600
    assert login.parent.stat().st_mode & 0o777 == 0o700

    done = cta_batch("whoami", "--json", "--config", "config.yaml")
    person = json.loads(done.stdout)
    assert person["subject"] == "pi"
    assert person["groups"][0] == "/escape"
    assert person["roles"] == ["member"]
    assert person["projects"] == ["P42", "P43"]
    assert person["renewable"]
    assert list(person["services"]) == ["lake"]
    assert not person["local"]
    assert not person["notes"]

    done = cta_batch("logout", "--config", "config.yaml")
    assert done.stdout == "logged out of escape, tokens revoked\n"
    done = cta_batch("whoami", "--config", "config.yaml")
    assert done.returncode == 1
    assert "you are not logged in to escape (log in: cta-batch login escape)" in done.stderr


def test_login_with_a_browser(tmp_path, issuer, monkeypatch):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"iam": iam_settings(issuer)}))
    monkeypatch.setattr(webbrowser, "_tryorder", None)  # asked once in a process
    monkeypatch.setenv("BROWSER", f"{sys.executable} {PERSON} %s --user operator")
    done = cta_batch("login", "--browser", "--config", "config.yaml")
    assert done.returncode == 0, done.stderr
    assert "logged in to escape as Olga Operator" in done.stdout
    assert "projects: *" in done.stdout


def test_each_service_has_its_own_audience_and_scopes(config, provider):
    log_in(config, services=["lake"])
    claims = claims_of(access_token("escape", provider, "lake"))
    assert claims["aud"] == "rucio"
    assert claims["scope"].split() == ["openid", "storage.read"]
    exchanged = claims_of(access_token("escape", provider, "storage"))
    assert exchanged["aud"] == "storage"
    assert exchanged["scope"] == "storage.read"
    assert exchanged["sub"] == "pi"


def test_a_service_that_is_not_configured_is_named(config, provider):
    with pytest.raises(Exception, match=r"no service 'tape' \(allowed: lake, storage\)"):
        log_in(config, services=["tape"])


def test_refused_in_the_browser(config, provider):
    with pytest.raises(IamError, match="the login was refused in the browser"):
        log_in(config, deny=True)
    assert LoginStore("escape", provider).load() is None


def test_device_code_that_nobody_approves(config, settings):
    settings(device=2)
    with pytest.raises(IamError, match="nobody approved the code within 2 s"):
        session.login("escape", config.iam.providers["escape"], invite=lambda invitation: None)


def test_slows_down_when_asked_to(config, provider, settings, monkeypatch):
    settings(slow_down=1)
    monkeypatch.setattr(device, "INTERVAL", 0.5)
    pauses = []
    monkeypatch.setattr(device.time, "sleep", lambda seconds: pauses.append(seconds))
    approve = []

    def later(invitation):
        approve.append(threading.Timer(1.5, visit, [invitation.address]))
        approve[0].start()

    person = session.login("escape", provider, invite=later)
    assert person.subject == "pi"
    assert pauses[:2] == [1, 1.5]


def test_token_that_ends_is_renewed(config, provider, grants):
    log_in(config, services=["lake"])
    first = access_token("escape", provider, "lake")
    assert access_token("escape", provider, "lake") == first
    assert grants("refresh_token") == 1
    age(provider, "lake", left=-1)
    assert access_token("escape", provider, "lake") != first
    assert grants("refresh_token") == 2
    age(provider, OWN, left=-1)
    assert current_identity(config).projects == ("P42", "P43")
    assert grants("refresh_token") == 3


def test_token_with_a_short_life(config, provider, settings):
    settings(access=2)
    log_in(config, services=["lake"])
    first = access_token("escape", provider, "lake")
    time.sleep(2)
    assert access_token("escape", provider, "lake") != first


def test_a_token_that_the_service_refused_is_replaced(config, provider):
    log_in(config, services=["lake"])
    first = access_token("escape", provider, "lake")
    assert access_token("escape", provider, "lake", refused=first) != first


def test_processes_that_renew_at_once_use_the_refresh_token_once(config, provider, issuer, grants):
    log_in(config)
    age(provider, OWN, left=-1)
    code = (
        "import json, sys; from iam_tools import *; from ctabatch.iam.tokens import access_token;"
        "config = configuration(iam_settings(sys.argv[1]));"
        "sys.stdin.readline(); print(access_token('escape', config.iam.providers['escape']))"
    )
    command = [
        sys.executable,
        "-c",
        f"import sys; sys.path.insert(0, {str(PERSON.parents[2])!r} + '/tests'); {code}",
        issuer,
    ]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    answers = []
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, errors = process.communicate()
        assert process.returncode == 0, errors
        answers.append(out)
    assert len(set(answers)) == 1
    assert grants("refresh_token") == 1


def test_provider_is_away(config, provider, iam_state, caplog):
    import iam_part

    log_in(config, services=["lake"])
    iam_part.stop_server(iam_state)
    try:
        token = access_token("escape", provider, "lake")
        note = session.whoami(config)["notes"][0]
        assert "does not answer" in note
        assert "this is what the last login said, its token is good until" in note
        age(provider, "lake", left=200)  # now it should be renewed, and can't be
        assert access_token("escape", provider, "lake") == token
        assert "the cached token is used, it is good until" in caplog.text
        age(provider, "lake", left=-1)
        with pytest.raises(IamError, match=r"does not answer .*, and the cached token ended 20"):
            access_token("escape", provider, "lake")
        with pytest.raises(IamError, match="does not answer"):
            log_in(config)
    finally:
        iam_part.start_server(iam_state)
    assert access_token("escape", provider, "lake") != token


def test_dead_refresh_token_says_log_in_again(config, provider, issuer, grants, caplog):
    log_in(config, services=["lake"])
    store = LoginStore("escape", provider)
    login = store.load()
    data = {"token": login.refresh_token, "client_id": "cta-batch"}
    assert requests.post(f"{issuer}/token/revocation", data, timeout=60).ok
    # A token that should be renewed but is still good is used once more, with a warning.
    token = age(provider, "lake", left=200)
    assert access_token("escape", provider, "lake") == token
    assert "the login at escape has ended" in caplog.text
    store.save(replace(store.load(), tokens={}))
    with pytest.raises(NotLoggedIn, match=r"has ended.*log in: cta-batch login escape"):
        access_token("escape", provider, "lake")
    assert grants("refresh_token") == 1


def test_login_without_groups_says_what_is_missing(config, caplog):
    person = log_in(config, user="nobody")
    assert person.groups == person.roles == person.projects == ()
    assert "has no claim wlcg.groups" in session.whoami(config)["notes"][0]


@pytest.mark.parametrize(("error", "text"), [(-200, "ahead of"), (200, "behind")])
def test_clocks_that_differ(config, settings, error, text):
    settings(clock=error)
    with pytest.raises(IamError, match=rf"this machine is \d+ s {text} that of .*set the clock"):
        log_in(config)


def test_clocks_that_differ_a_little(config, settings):
    settings(clock=20)
    assert log_in(config).subject == "pi"


def test_issuer_that_calls_itself_otherwise(issuer):
    config = configuration(iam_settings(issuer.replace("127.0.0.1", "localhost")))
    with pytest.raises(IamError, match=f"calls itself {issuer}: tokens of another issuer"):
        log_in(config)


def test_address_without_a_provider(issuer):
    config = configuration(iam_settings(f"{issuer}/nothing"))
    with pytest.raises(IamError, match="answers with 404"):
        log_in(config)


def test_client_that_is_not_registered(issuer):
    config = configuration(iam_settings(issuer, client_id="stranger"))
    with pytest.raises(IamError, match=r"refuses the login: invalid_client.*check client_id"):
        log_in(config)


def test_providers_side_by_side(issuer, tmp_path):
    both = {"escape": iam_settings(issuer), "km3net": iam_settings(issuer, name="km3net")}
    iam = {"providers": {name: both[name]["providers"][name] for name in both}}
    config = configuration(iam)
    log_in(config, user="pi", name="escape")
    log_in(config, user="member", name="km3net")
    assert current_identity(config, "escape").projects == ("P42", "P43")
    assert current_identity(config, "km3net").projects == ()
    assert current_identity(config).local  # none is the default one
    session.logout("escape", config.iam.providers["escape"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"iam": iam}))
    done = cta_batch("whoami", "--all", "--json", "--config", "config.yaml")
    found = json.loads(done.stdout)
    assert "you are not logged in to escape" in found["escape"]["error"]
    assert found["km3net"]["subject"] == "member"


def test_logout_revokes(config, provider, issuer):
    log_in(config)
    login = LoginStore("escape", provider).load()
    bearer = {"Authorization": f"Bearer {login.tokens[OWN].access_token}"}
    assert requests.get(f"{issuer}/me", headers=bearer, timeout=60).ok
    assert session.logout("escape", provider) is None
    assert requests.get(f"{issuer}/me", headers=bearer, timeout=60).status_code == 401
    data = {"grant_type": "refresh_token", "client_id": "cta-batch"}
    data["refresh_token"] = login.refresh_token
    answer = requests.post(f"{issuer}/token", data, timeout=60)
    assert answer.json()["error"] == "invalid_grant"
    with pytest.raises(NotLoggedIn):
        session.logout("escape", provider)


def test_logout_while_the_provider_is_away(config, provider, iam_state):
    import iam_part

    log_in(config)
    iam_part.stop_server(iam_state)
    try:
        problem = session.logout("escape", provider)
    finally:
        iam_part.start_server(iam_state)
    assert "forgotten here but not revoked there" in problem
    assert LoginStore("escape", provider).load() is None


def test_tokens_show_nowhere(tmp_path, issuer, iam_state, home, caplog):
    """Greps output, logs, errors and the process list for the tokens of a login."""
    import iam_part

    caplog.set_level(logging.DEBUG)
    logging.getLogger("urllib3").setLevel(logging.DEBUG)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"iam": iam_settings(issuer)}))
    config = configuration(iam_settings(issuer))
    provider = config.iam.providers["escape"]
    log_in(config, services=["lake", "storage"])
    tokens = secrets_in(home)
    seen = []
    for arguments in (["whoami"], ["whoami", "--json"], ["login", "--service", "nothing"]):
        done = cta_batch(*arguments, "--debug", "--config", "config.yaml")
        seen += [done.stdout, done.stderr]
    seen.append(repr(LoginStore("escape", provider).load()))
    first = access_token("escape", provider, "lake")
    access_token("escape", provider, "lake", refused=first)
    tokens |= secrets_in(home)
    iam_part.stop_server(iam_state)
    try:
        done = cta_batch("logout", "--debug", "--config", "config.yaml")
    finally:
        iam_part.start_server(iam_state)
    assert done.returncode == 1
    seen += [done.stdout, done.stderr, caplog.text, (iam_state.logs / "iam.log").read_text()]
    assert len(tokens) >= 5
    text = "\n".join(seen)
    assert "Petra Investigator" in text
    assert "token" in caplog.text  # the log is really at its most talkative
    assert not [token for token in tokens if token in text]
