"""DIRAC by DiracX's own login, with the person of the identity provider."""

import json
import subprocess

import pytest
import yaml

from iam_tools import CTA_BATCH, cta_batch, visit

pytestmark = pytest.mark.xdist_group("diracx")


@pytest.fixture(scope="module")
def server(start_part):
    """Address of a DiracX server whose VO ctao logs in at the identity provider."""
    import diracx_part

    iam, diracx = start_part("iam"), start_part("diracx")
    diracx_part.trust(
        diracx, "ctao", iam.env()["IAM_ISSUER"], "diracx", ["pi", "member"], ("outsider",)
    )
    return diracx.env()["DIRACX_URL"]


@pytest.fixture
def here(server, tmp_path, monkeypatch):
    """A folder with a configuration, and credentials of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIRACX_URL", "")
    monkeypatch.setenv("DIRACX_CREDENTIALS_PATH", str(tmp_path / "credentials.json"))
    content = {
        "iam": {"dirac": {"url": server, "vo": "ctao"}},
        "compute": {"dirac": {"url": server}},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def log_in(folder, user, *options):
    """Run the command; a person follows the address that it prints."""
    with subprocess.Popen(
        [CTA_BATCH, "login", "--service", "dirac", "--config", "config.yaml", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = []
        while line := process.stdout.readline():
            lines.append(line)
            if line.startswith("Now go to:"):
                visit(line.partition("to:")[2].strip(), user)
        errors = process.stderr.read()
    return process.returncode, "".join(lines), errors


def test_login_whoami_logout(here):
    code, out, errors = log_in(here, "pi")
    assert code == 0, errors
    assert "Login successful!" in out
    credentials = here / "credentials.json"
    assert credentials.stat().st_mode & 0o777 == 0o600
    tokens = json.loads(credentials.read_text())
    assert not [t for t in (tokens["access_token"], tokens["refresh_token"]) if t in out + errors]

    found = json.loads(
        cta_batch("whoami", "--service", "dirac", "--json", "--config", "config.yaml").stdout
    )
    assert found["preferred_username"] == "pi"
    assert found["vo"] == "ctao"
    assert found["dirac_group"] == "ctao_user"
    shown = cta_batch("whoami", "--service", "dirac", "--config", "config.yaml").stdout
    assert "ctao_user" in shown

    done = cta_batch("logout", "--service", "dirac", "--config", "config.yaml")
    assert done.returncode == 0, done.stderr
    assert not credentials.exists()
    done = cta_batch("whoami", "--service", "dirac", "--config", "config.yaml")
    assert done.returncode == 1
    assert "log in: cta-batch login --service dirac" in done.stderr


def test_the_server_gives_nothing_to_who_is_no_member(here):
    """Whatever our own check of the membership says: without a token nothing can be submitted."""
    code, out, errors = log_in(here, "outsider")
    assert code == 1
    assert "User is not a member of the requested group (outsider, ctao_user)" in errors
    assert "Traceback" not in out + errors
    assert not (here / "credentials.json").exists()
    done = cta_batch("jobs", "list", "--backend", "dirac", "--config", "config.yaml")
    assert done.returncode == 1
    assert "not logged in" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vo", "nowhere"], "no virtual organisation 'nowhere' at this DiracX server"),
        (["--group", "none"], "no DIRAC group 'none' in ctao (allowed: ctao_user)"),
    ],
)
def test_unknown_vo_and_group(here, options, message):
    done = cta_batch("login", "--service", "dirac", "--config", "config.yaml", *options)
    assert done.returncode == 2
    assert message in done.stderr


def test_server_is_away(here, monkeypatch):
    (here / "config.yaml").write_text("iam: {dirac: {url: 'http://127.0.0.1:9', vo: ctao}}\n")
    done = cta_batch("login", "--service", "dirac", "--config", "config.yaml")
    assert done.returncode == 1
    assert "the DiracX server http://127.0.0.1:9 does not answer" in done.stderr
    (here / "config.yaml").write_text("{}\n")
    monkeypatch.setenv("DIRACX_URL", "")
    done = cta_batch("login", "--service", "dirac", "--config", "config.yaml")
    assert done.returncode == 2
    assert "no DiracX server is named" in done.stderr
