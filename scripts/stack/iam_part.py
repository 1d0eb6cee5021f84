"""Identity provider: npm's certified oidc-provider, with the claims and flows of INDIGO IAM.

Device code, browser with PKCE, rotating refresh tokens, revocation, resource indicators and token
exchange. Users are in ``iam_server/users.json``; any password is taken. ``settings.json`` in the
state folder holds life times (seconds) and an error of the clock, read before each request.
`iam_person` fills in the forms as a person would.
"""

import hashlib
import json
import secrets
import shutil
import urllib.request
from pathlib import Path

import common
from common import HERE, StackError, State

SERVER = HERE / "iam_server"
SETTINGS = {"access": 3600, "refresh": 86400, "device": 120, "clock": 0, "slow_down": 0}
#: Oldest node that the provider runs on.
NODE = 18


def install() -> None:
    """Install node where it is missing, and the pinned packages."""
    if not (shutil.which("node") and shutil.which("npm")):
        common.apt_install(["nodejs", "npm"])
    version = common.run(["node", "--version"]).stdout.strip()
    if int(version.lstrip("v").partition(".")[0]) < NODE:
        raise StackError(f"node {version} is too old: {NODE} or newer is needed")
    folder = common.environment("iam")
    if _installed_digest(folder) == _digest():
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(SERVER / name, folder / name)
    # Packages that npm has in its cache are not asked for again.
    common.run(
        ["npm", "ci", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder
    )
    (folder / "installed.sha256").write_text(_digest())


def installed() -> bool:
    """Tell whether `install` was run."""
    return (
        shutil.which("node") is not None
        and _installed_digest(common.environment("iam")) == _digest()
    )


def _digest() -> str:
    return hashlib.sha256((SERVER / "package-lock.json").read_bytes()).hexdigest()


def _installed_digest(folder: Path) -> str | None:
    stamp = folder / "installed.sha256"
    return stamp.read_text() if stamp.exists() else None


def up(state: State) -> None:
    """Start the provider; logins outlive a restart."""
    if not installed():
        raise StackError("not installed: run make stack-install, or stack.py install iam")
    for name in ("provider.mjs", "store.mjs", "users.json", "package.json"):
        shutil.copyfile(SERVER / name, state.folder / name)
    modules = state.folder / "node_modules"
    if not modules.is_symlink():
        modules.symlink_to(common.environment("iam") / "node_modules")
    if not (state.folder / "settings.json").exists():
        change_settings(state)
    if not (state.folder / "cookie_key").exists():
        state.private("cookie_key", secrets.token_urlsafe(32))
    start_server(state)
    issuer = f"http://127.0.0.1:{state.port('iam')}"
    state.write_env(
        {
            "IAM_ISSUER": issuer,
            "IAM_CLIENT": "cta-batch",
            "IAM_LOG": str(state.logs / "iam.log"),
            "IAM_STATE": str(state.folder),
        }
    )


def start_server(state: State) -> None:
    """Start the provider alone, on the port that it had."""
    port = state.port("iam")
    environment = {"NODE_ENV": "production", "NODE_OPTIONS": "", "DEBUG": ""}
    argv = ["node", "--no-warnings", state.folder / "provider.mjs", state.folder, str(port)]
    state.spawn("iam", argv, env=environment)
    common.wait_for(
        lambda: _answers(f"http://127.0.0.1:{port}"),
        f"the identity provider ({state.logs}/iam.log)",
        alive=lambda: state.alive("iam"),
    )


def stop_server(state: State) -> None:
    """Stop the provider, as in a failure."""
    state.stop("iam")


def down(state: State) -> None:
    """Stop the provider."""
    state.stop("iam")


def change_settings(state: State, **changes: int) -> None:
    """Set life times (access, refresh, device) and the clock's error in seconds, and whether
    pollers are told to slow down; what is not named goes back to its default."""
    unknown = set(changes) - set(SETTINGS)
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    state.private("settings.json", json.dumps(SETTINGS | changes))


def _answers(issuer: str) -> bool:
    try:
        with urllib.request.urlopen(f"{issuer}/.well-known/openid-configuration", timeout=2):
            return True
    except OSError:
        return False
