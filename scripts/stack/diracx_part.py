"""A DiracX server with a stand-in pilot: the fast way to run grid jobs on this machine.

The server is the released one with SQLite databases and an S3 stand-in for the sandboxes. What
DIRAC has beyond it (optimisers, Matcher, pilots, JobAgent) is `diracx_server/pilot.py`, which
behaves as DIRAC 9.1 was measured to. An XRootD server is the sites' scratch storage. Users are
alice and bob (group dteam_user) and admin.
"""

import base64
import hashlib
import json
import os
import secrets
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import xrootd_part
from common import (
    HERE,
    StackError,
    State,
    environment,
    make_environment,
    run,
    wait_for,
)

SERVER = HERE / "diracx_server"
VO = "dteam"
USERS = {"alice": "dteam_user", "bob": "dteam_user", "admin": "dteam_admin"}
DATABASES = [
    *("AuthDB", "JobDB", "JobLoggingDB", "PilotAgentsDB", "ResourceStatusDB"),
    *("SandboxMetadataDB", "TaskQueueDB", "TransformationDB", "TaskDB"),
]
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--log-level", "warning", "--no-access-log"]


def _python() -> Path:
    return environment("diracx") / "bin" / "python"


def install() -> None:
    """Install the storage's package, make the server's environment."""
    xrootd_part.install()
    make_environment("diracx", HERE / "requirements-diracx.txt")


def installed() -> bool:
    """Tell whether server and storage are there."""
    return _python().exists() and xrootd_part.installed()


def _configuration(idp: str) -> dict:
    """Return the server's configuration (DIRAC's CS), as a VO's administrators would write it."""
    return {
        "DIRAC": {},
        "Registry": {
            VO: {
                "DefaultGroup": "dteam_user",
                "IdP": {"URL": idp, "ClientID": "diracx-test"},
                "Users": {f"sub-{user}": {"PreferedUsername": user} for user in USERS},
                "Groups": {
                    "dteam_user": {
                        "Properties": ["NormalUser"],
                        "Users": ["sub-alice", "sub-bob"],
                    },
                    "dteam_admin": {
                        "Properties": ["NormalUser", "JobAdministrator", "ServiceAdministrator"],
                        "Users": ["sub-admin"],
                    },
                },
            }
        },
        # DIRAC's default: everyone of the VO sees everyone's jobs
        "Operations": {"Defaults": {"Services": {"JobMonitoring": {"GlobalJobsInfo": True}}}},
        "Resources": {"Computing": {"OSCompatibility": {"x86_64-el9": ["x86_64-el9"]}}},
    }


def _prepare(state: State) -> None:
    """Make what outlives a restart: configuration repository, keys, sites."""
    repository = state.folder / "cs"
    if (repository / ".git").exists():
        return
    repository.mkdir(exist_ok=True)
    idp = f"http://127.0.0.1:{state.port('idp')}"
    (repository / "default.yml").write_text(json.dumps(_configuration(idp), indent=1))
    git = ["git", "-C", repository, "-c", "user.name=stack", "-c", "user.email=stack@localhost"]
    run(["git", "init", "-q", "-b", "master", repository])
    run([*git, "add", "default.yml"])
    run([*git, "commit", "-qm", "Configuration"])
    state.private("jwks.json", run([_python(), SERVER / "make_key.py"]).stdout)
    state.private("state_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    state.private("api_key", secrets.token_hex(32))
    (state.folder / "sites.json").write_text((SERVER / "sites.json").read_text())
    (state.folder / "faults.json").write_text("[]\n")


def trust(
    state: State, vo: str, issuer: str, client: str, users: list[str], known: tuple[str, ...] = ()
) -> None:
    """Add a virtual organisation whose people log in at another identity provider.

    Parameters
    ----------
    state : State
        The running part.
    vo : str
        Name of the virtual organisation.
    issuer : str
        Address of the provider.
    client : str
        Name under which it knows this server.
    users : list of str
        Subjects of its tokens that are in the group ``<vo>_user``.
    known : tuple of str
        Subjects that are registered, and in no group.
    """
    repository = state.folder / "cs"
    configuration = json.loads((repository / "default.yml").read_text())
    configuration["Registry"][vo] = {
        "DefaultGroup": f"{vo}_user",
        "IdP": {"URL": issuer, "ClientID": client},
        "Users": {user: {"PreferedUsername": user} for user in (*users, *known)},
        "Groups": {f"{vo}_user": {"Properties": ["NormalUser"], "Users": users}},
    }
    (repository / "default.yml").write_text(json.dumps(configuration, indent=1))
    git = ["git", "-C", repository, "-c", "user.name=stack", "-c", "user.email=stack@localhost"]
    run([*git, "commit", "-qam", f"VO {vo}"])
    state.stop("diracx")
    start_server(state)


def _server_environment(state: State, url: str, s3: int) -> dict[str, str]:
    key = (state.folder / "api_key").read_text().encode()
    values = {
        "DIRACX_CONFIG_BACKEND_URL": f"git+file://{state.folder}/cs",
        "DIRACX_SERVICE_AUTH_TOKEN_KEYSTORE": f"file://{state.folder}/jwks.json",
        "DIRACX_SERVICE_AUTH_STATE_KEY": (state.folder / "state_key").read_text(),
        "DIRACX_SERVICE_AUTH_TOKEN_ISSUER": url,
        "DIRACX_SERVICE_AUTH_ALLOWED_REDIRECTS": json.dumps([f"{url}/api/docs/oauth2-redirect"]),
        "DIRACX_LEGACY_EXCHANGE_HASHED_API_KEY": hashlib.sha256(key).hexdigest(),
        "DIRACX_SANDBOX_STORE_BUCKET_NAME": "sandboxes",
        "DIRACX_SANDBOX_STORE_AUTO_CREATE_BUCKET": "true",
        "DIRACX_SANDBOX_STORE_S3_CLIENT_KWARGS": json.dumps(
            {
                "endpoint_url": f"http://127.0.0.1:{s3}",
                "aws_access_key_id": "stack",
                "aws_secret_access_key": "stack",
            }
        ),
        "DIRACX_OS_DB_JOBPARAMETERSDB": json.dumps(
            {"sqlalchemy_dsn": f"sqlite+aiosqlite:///{state.folder}/jobparametersdb.db"}
        ),
    }
    for name in DATABASES:
        database = f"sqlite+aiosqlite:///{state.folder}/{name.lower()}.db"
        values[f"DIRACX_DB_URL_{name.upper()}"] = database
    return values


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def _spawn(state: State, name: str, argv, url: str, env=None) -> None:
    """Start a server and wait until it answers."""
    state.spawn(name, [_python(), *argv], env=env)
    what = f"{name} ({state.logs}/{name}.log)"
    # Minutes, not seconds, where other work takes the processors.
    wait_for(lambda: _answers(url), what, timeout=300, alive=lambda: state.alive(name))


def start_server(state: State) -> None:
    """Start the DiracX server alone; the rest of the part runs already."""
    port, s3 = state.port("diracx"), state.port("s3")
    url = f"http://127.0.0.1:{port}"
    argv = [*UVICORN, "--port", str(port), "--timeout-keep-alive", "75"]
    argv += ["--factory", "diracx.testing.routers:create_app"]
    _spawn(state, "diracx", argv, f"{url}/api/health/ready", _server_environment(state, url, s3))


def _register_sites(state: State) -> None:
    """Enter the sites into the resource status database, as DIRAC's own synchroniser does."""
    sites = json.loads((state.folder / "sites.json").read_text())
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    with sqlite3.connect(state.folder / "resourcestatusdb.db", timeout=30) as database:
        for name, site in sites.items():
            reason = site.get("banned")
            database.execute(
                "INSERT OR REPLACE INTO SiteStatus (Name, StatusType, VO, Status, Reason, "
                "DateEffective, ElementType) VALUES (?, 'all', 'all', ?, ?, ?, 'Site')",
                (name, "Banned" if reason else "Active", reason or "in use", now),
            )


def credentials(
    state: State, user: str, name: str | None = None, minutes: int = 7 * 24 * 60
) -> Path:
    """Log a user in without a browser (DiracX's legacy exchange).

    Parameters
    ----------
    state : State
        The running part.
    user : str
        alice, bob or admin.
    name : str, optional
        Of the file, else the user's.
    minutes : int
        How long the login lives.

    Returns
    -------
    pathlib.Path
        A file as ``dirac login`` writes it.
    """
    url = f"http://127.0.0.1:{state.port('diracx')}"
    key = base64.urlsafe_b64encode((state.folder / "api_key").read_text().encode()).decode()
    query = (
        f"preferred_username={user}&scope=vo:{VO}%20group:{USERS[user]}&expires_minutes={minutes}"
    )
    request = urllib.request.Request(
        f"{url}/api/auth/legacy-exchange?{query}",
        headers={"Authorization": f"Bearer diracx:legacy:{key}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        token = json.load(answer)
    content = {
        "access_token": token["access_token"],
        "refresh_token": token.get("refresh_token"),
        "expires_on": int(time.time()) + token["expires_in"] - 15,
    }
    return state.private(f"credentials/{name or user}.json", json.dumps(content))


def start_pilot(state: State, *options: str) -> None:
    """Start the stand-in pilot; `options` are those of `diracx_server/pilot.py`."""
    url = f"http://127.0.0.1:{state.port('diracx')}"
    argv = [_python(), SERVER / "pilot.py", "--state", state.folder, *options]
    state.spawn("pilot", argv, env={"DIRACX_URL": url})


def up(state: State) -> None:
    """Start identity provider, S3 stand-in, server, pilot and storage."""
    if not installed():
        raise StackError("not installed: run stack.py install diracx")
    _prepare(state)
    idp, s3, port = state.port("idp"), state.port("s3"), state.port("diracx")
    moto = "import sys; from moto.server import main; main(sys.argv[1:])"
    _spawn(state, "s3", ["-c", moto, "-H", "127.0.0.1", "-p", str(s3)], f"http://127.0.0.1:{s3}/")
    issuer = f"http://127.0.0.1:{idp}"
    _spawn(
        state,
        "idp",
        [*UVICORN, "--port", str(idp), "--app-dir", str(SERVER), "idp:app"],
        f"{issuer}/.well-known/openid-configuration",
        {"IDP_ISSUER": issuer, "IDP_USER": "alice"},
    )
    start_server(state)
    _register_sites(state)
    for user in USERS:
        credentials(state, user)
        credentials(state, user, f"pilot-{user}")
    start_pilot(
        state, "--path", os.environ.get("DIRACX_WORKER_PATH", str(Path(sys.executable).parent))
    )
    storage = xrootd_part.start_storage(state)
    state.write_env(
        {
            "DIRACX_URL": f"http://127.0.0.1:{port}",
            "DIRACX_CREDENTIALS_PATH": str(state.folder / "credentials/alice.json"),
            "DIRACX_STACK": str(state.folder),
            "DIRACX_STORAGE": storage,
        }
    )


def down(state: State) -> None:
    """Stop everything."""
    for name in ("pilot", "diracx", "idp", "s3", "storage"):
        state.stop(name)
