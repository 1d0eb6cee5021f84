"""Rucio with the token of a login at the identity provider that it trusts."""

import time

import pytest

from ctabatch.errors import LakeError
from ctabatch.iam.errors import NotLoggedIn
from ctabatch.iam.identity import current_identity
from ctabatch.iam.projects import project_observations
from ctabatch.iam.store import LoginStore
from ctabatch.iam.tokens import access_token
from ctabatch.lake.base import NewFile
from ctabatch.lake.rucio import RucioLake
from iam_tools import age, claims_of, configuration, iam_settings, log_in
from rucio_tools import lake_settings

pytestmark = pytest.mark.xdist_group("rucio")

DID = "dpps:/ctao.dpps.test/dpps/login/1.dl3.txt"


@pytest.fixture(scope="module")
def issuer(start_part, rucio):
    """The identity provider; Rucio takes the tokens of pi as those of its account alice."""
    import rucio_part

    address = start_part("iam").env()["IAM_ISSUER"]
    rucio_part.trust(start_part("rucio"), "iam", address, {"pi": "alice"})
    return address


@pytest.fixture
def config(rucio, issuer, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("BEARER_TOKEN", "BEARER_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    server = {"host": rucio["RUCIO_HOST"], "account": "alice", "auth_type": "oidc"}
    lake = {
        "backend": "rucio",
        "scope": "dpps",
        "default_rse": "CTAO-DISK",
        "staging_rse": "CTAO-DISK",
        "rucio": server | {"login": "lake", "patience": 600},
    }
    return configuration(iam_settings(issuer), lake=lake)


@pytest.fixture
def provider(config):
    return config.iam.providers["escape"]


def token_of(provider):
    return LoginStore("escape", provider).load().tokens["lake"].access_token


def test_the_login_opens_rucio_and_is_renewed_in_the_middle(
    config, provider, rucio, start_part, tmp_path
):
    import iam_part

    iam_state = start_part("iam")
    path = tmp_path / "1.dl3.txt"
    path.write_text("by a login")
    metadata = {"data__level": "DL3", "proposal_id": "P42", "dl3__status": "valid"}
    RucioLake(lake_settings(rucio)).ingest([NewFile(path, DID, metadata)])
    log_in(config)
    lake = RucioLake(config.lake)
    (found,) = project_observations(lake, current_identity(config), "P42")
    assert found["did"] == DID
    first = token_of(provider)
    assert claims_of(first)["aud"] == "rucio"
    assert claims_of(first)["iss"] == provider.issuer
    # In the middle the token ends: this machine's clock thinks it is good, Rucio knows better.
    iam_part.change_settings(iam_state, access=1)
    age(provider, "lake", left=-1)
    access_token("escape", provider, "lake")
    iam_part.change_settings(iam_state)
    time.sleep(2)
    ended = age(provider, "lake", left=9999)
    lake.session._client.auth_token = lake.session._client.headers["X-Rucio-Auth-Token"] = ended
    assert list(lake.search("proposal_id = P42 and data__level = DL3")["did"]) == [DID]
    assert token_of(provider) not in (first, ended)
    lake.fetch([DID], tmp_path / "out")
    assert (tmp_path / "out" / "1.dl3.txt").read_text() == "by a login"


def test_rucio_refuses_who_has_no_account_there(config):
    log_in(config, user="member")
    with pytest.raises(LakeError, match="Rucio refuses the token of account alice"):
        RucioLake(config.lake).search("proposal_id = P42")


def test_without_a_login_it_says_so(config):
    with pytest.raises(NotLoggedIn, match="log in: cta-batch login escape"):
        RucioLake(config.lake).search("proposal_id = P42")


def test_a_wrong_audience_is_refused(config, issuer):
    services = {"lake": {"resource": "urn:cta:storage", "scopes": ["openid"]}}
    wrong = configuration(
        iam_settings(issuer, services=services), lake=config.lake.model_dump(exclude_none=True)
    )
    log_in(wrong)
    with pytest.raises(LakeError, match="Rucio refuses the token of account alice"):
        RucioLake(wrong.lake).search("proposal_id = P42")
