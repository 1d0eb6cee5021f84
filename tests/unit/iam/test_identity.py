"""Identities from claims, and the local one."""

import getpass
import json

import pytest

from ctabatch.cli.main import run
from ctabatch.config.iam import Provider
from ctabatch.config.model import Configuration
from ctabatch.iam.claims import find_claim, given_by, groups
from ctabatch.iam.errors import IamError, NotLoggedIn, clean
from ctabatch.iam.identity import current_identity, lacks_groups, of_claims
from ctabatch.iam.store import Login, LoginStore, Token

PROVIDER = Provider.model_validate(
    {
        "issuer": "https://iam.example.org/",
        "client_id": "c",
        "claims": {
            "groups": "wlcg.groups",
            "roles": [{"group": "/cta/(operator|admin)s", "gives": "\\1"}],
            "projects": [
                {"group": "/cta/projects/(P[0-9]+)(/.*)?", "gives": "\\1"},
                {"group": "/cta/admins", "gives": "*"},
            ],
        },
    }
)
CLAIMS = {"sub": "123", "iss": "https://iam.example.org/", "preferred_username": "ada"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def person(*own):
    return of_claims(CLAIMS | {"wlcg.groups": list(own)}, PROVIDER, "escape", None)


def test_groups_give_roles_and_projects():
    found = person("/cta", "/cta/operators", "/cta/projects/P42/pi", "/cta/projects/P7")
    assert found.name == "ada"
    assert found.roles == ("operator",)
    assert found.projects == ("P42", "P7")
    assert found.has_project("P42")
    assert not found.has_project("P4")
    assert not found.local


@pytest.mark.parametrize(
    "group", ["/cta/projects/P42x", "/other/cta/projects/P42", "cta/projects/P42", "/cta/projects/"]
)
def test_a_rule_must_match_the_whole_group(group):
    assert person(group).projects == ()


def test_all_projects():
    assert person("/cta/admins").has_project("P1")


def test_nested_and_odd_claims():
    assert find_claim({"a": {"b": {"c": 1}}}, "a.b.c") == 1
    assert find_claim({"a.b": 2, "a": {"b": 3}}, "a.b") == 2
    assert find_claim({"a": [1]}, "a.b") is None
    assert groups({"g": 5}, "g") == []
    assert groups({"g": {"x": 1}}, "g") == []
    assert given_by(["/a"], []) == ()


def test_missing_claim_is_said():
    assert "no claim wlcg.groups" in lacks_groups(CLAIMS, PROVIDER)
    assert lacks_groups(CLAIMS | {"wlcg.groups": []}, PROVIDER) is None
    assert of_claims(CLAIMS, PROVIDER, "escape", None).groups == ()


def test_local_identity_is_stated_as_such(capsys):
    found = current_identity(Configuration())
    assert found.local
    assert found.name == getpass.getuser()
    assert found.has_project("P42")
    assert "nobody vouches for it" in str(found)
    run(["whoami"])
    assert "local identity: no login, nobody vouches for it" in capsys.readouterr().out
    run(["whoami", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert shown["local"]
    assert shown["issuer"] == "local"
    assert shown["expires"] is None


def test_local_identity_sees_no_project_of_another_lake():
    rucio = {"backend": "rucio", "rucio": {"host": "https://r", "account": "a"}}
    assert current_identity(Configuration.model_validate({"lake": rucio})).projects == ()
    content = {"lake": rucio, "iam": {"local_projects": ["P42"]}}
    assert current_identity(Configuration.model_validate(content)).projects == ("P42",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["login"], "no identity provider is named"),
        (["login", "escape"], "no identity provider 'escape'"),
        (["whoami", "escape"], "no identity provider 'escape'"),
        (["logout"], "no identity provider is named"),
        (["login", "--vo", "cta"], "--vo and --group are of DIRAC"),
    ],
)
def test_bad_commands(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        run(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def stored():
    return LoginStore("escape", PROVIDER)


def test_a_login_is_kept_for_its_owner_only():
    token = Token("secret-access", 0, 4e9)
    store = stored()
    store.save(Login("i", "c", "s", {}, "secret-refresh", {"": token}))
    assert store.path.stat().st_mode & 0o777 == 0o600
    login = store.load()
    assert login.tokens[""] == token
    assert "secret" not in repr(login)
    store.path.chmod(0o640)
    with pytest.raises(IamError, match="others may read the login"):
        store.load()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"tokens": {"a": {"b": 1}}}'])
def test_a_damaged_login_is_named(text):
    store = stored()
    store.path.parent.mkdir(parents=True)
    store.path.write_text(text)
    store.path.chmod(0o600)
    with pytest.raises(IamError, match="is damaged"):
        store.load()


def test_without_a_login_it_says_how_to_get_one():
    content = {"iam": {"providers": {"escape": PROVIDER.model_dump()}}}
    with pytest.raises(NotLoggedIn, match="log in: cta-batch login escape"):
        current_identity(Configuration.model_validate(content))


def test_texts_of_servers_lose_their_secrets():
    token = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJwaSJ9.abcdefghijklmnop"
    assert clean(f"token {token} is bad\n  really") == "token ... is bad really"
