"""DiracX on DIRAC's databases: its settings, its configuration repository, its own tables."""

import base64
import hashlib
import json
import secrets
import time
import urllib.error
import urllib.parse
import urllib.request

import mariadb
from common import HERE, State, run
from dirac9_configuration import PLATFORMS, USERS, VO
from dirac9_environment import BUCKET_KEY, SERVER, diracx_python, execute, spawn

# Databases of DIRAC's that DiracX shares, and those that only it has.
SHARED = ("JobDB", "JobLoggingDB", "PilotAgentsDB", "ResourceStatusDB", "SandboxMetadataDB")
SHARED += ("TaskQueueDB",)
OWN = ("AuthDB", "TaskDB", "TransformationDB")
LOGIN_MINUTES = 7 * 24 * 60
UVICORN = ("-m", "uvicorn", "--host", "127.0.0.1", "--log-level", "warning", "--no-access-log")


def make_secrets(state: State) -> None:
    """Make the keys that outlive a restart."""
    if (state.folder / "jwks.json").exists():
        return
    state.private("state_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())
    state.private("api_key", secrets.token_hex(32))
    keys = run([diracx_python(), HERE / "diracx_server" / "make_key.py"]).stdout
    state.private("jwks.json", keys)


def api_key(state: State) -> str:
    """Return the key with which DIRAC asks for its users' tokens."""
    key = (state.folder / "api_key").read_text().encode()
    return "diracx:legacy:" + base64.urlsafe_b64encode(key).decode()


def settings(state: State, ports: dict[str, int]) -> dict[str, str]:
    """Return the server's environment variables."""
    url = f"http://127.0.0.1:{ports['diracx']}"
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
        "DIRACX_SANDBOX_STORE_SE_NAME": "ProductionSandboxSE",
        "DIRACX_SANDBOX_STORE_S3_CLIENT_KWARGS": json.dumps(
            {
                "endpoint_url": f"http://127.0.0.1:{ports['s3']}",
                "aws_access_key_id": BUCKET_KEY,
                "aws_secret_access_key": BUCKET_KEY,
            }
        ),
        "DIRACX_OS_DB_JOBPARAMETERSDB": json.dumps(
            {"hosts": [{"host": "127.0.0.1", "port": ports["opensearch"]}], "use_ssl": False}
        ),
    }
    account = f"mysql+aiomysql://Dirac:{mariadb.password(state)}@127.0.0.1:{ports['mariadb']}"
    for name in SHARED:
        values[f"DIRACX_DB_URL_{name.upper()}"] = f"{account}/{name}"
    for name in OWN:
        values[f"DIRACX_DB_URL_{name.upper()}"] = f"{account}/DiracX{name}"
    return values


def synchronise(state: State) -> None:
    """Convert DIRAC's central configuration to DiracX's, a git repository."""
    repository = state.folder / "cs"
    git = ["git", "-C", repository, "-c", "user.name=stack", "-c", "user.email=stack@localhost"]
    if not (repository / ".git").exists():
        run(["git", "init", "--quiet", "--initial-branch=master", repository])
    source, target = state.folder / "central.cfg", repository / "default.yml"
    tool = diracx_python().with_name("dirac")
    variables = {"DIRAC_COMPAT_ENABLE_CS_CONVERSION": "true"}
    execute([tool, "internal", "legacy", "cs-sync", source, target], variables)
    run([diracx_python(), SERVER / "repair_configuration.py", target, json.dumps(PLATFORMS)])
    run([*git, "add", "default.yml"])
    if run([*git, "status", "--porcelain"]).stdout:
        run([*git, "commit", "--quiet", "--message", "Configuration"])


def make_tables(state: State, ports: dict[str, int]) -> None:
    """Make DiracX's own tables; those it shares are as DIRAC makes them."""
    values = settings(state, ports)
    for name in SHARED:
        values.pop(f"DIRACX_DB_URL_{name.upper()}")
    execute([diracx_python(), SERVER / "make_tables.py"], values)


def start(state: State, ports: dict[str, int]) -> None:
    """Start the server; does not wait for it."""
    argv = [diracx_python(), *UVICORN, "--port", ports["diracx"]]
    argv += ["--factory", "diracx.routers.factory:create_app"]
    spawn(state, "diracx", argv, settings(state, ports))


def answers(url: str) -> bool:
    """Tell whether a web server is able to answer."""
    try:
        with urllib.request.urlopen(url, timeout=20):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


def login(state: State, user: str, ports: dict[str, int]) -> None:
    """Give a user a token by DiracX's legacy exchange, written as ``dirac login`` writes it."""
    query = {
        "preferred_username": user,
        "scope": f"vo:{VO} group:{USERS[user]}",
        "expires_minutes": LOGIN_MINUTES,
    }
    url = f"http://127.0.0.1:{ports['diracx']}/api/auth/legacy-exchange"
    request = urllib.request.Request(
        f"{url}?{urllib.parse.urlencode(query)}",
        headers={"Authorization": f"Bearer {api_key(state)}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        token = json.load(answer)
    content = {
        "access_token": token["access_token"],
        "refresh_token": token.get("refresh_token"),
        "expires_on": int(time.time()) + token["expires_in"] - 15,
    }
    state.private(f"credentials/{user}.json", json.dumps(content))
