"""Rucio: server and daemons on PostgreSQL and memcached, a tape and two disk storage elements.

One of the disks is reached over the XRootD protocol, from a real server of Debian's package: it
is the protocol of the observatory's off-site centres, it keeps checksums on the server's side, and
Rucio's own client speaks it through the same package's commands.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import urllib.request
from pathlib import Path

import common
from common import StackError, State

SERVER = Path(__file__).resolve().parent / "rucio_server"
REQUIREMENTS = Path(__file__).resolve().parent / "requirements-rucio.txt"
PACKAGES = ["postgresql", "memcached", "xrootd-server", "xrootd-client"]
ACCOUNTS = ("root", "operator", "alice")
#: Reverse order of starting.
PROCESSES = ("daemons", "server", "issuer", "xrootd", "memcached")


def install() -> None:
    """Install the Debian packages and the environment of server and daemons."""
    common.apt_install(PACKAGES)
    common.make_environment("rucio", REQUIREMENTS)


def installed() -> bool:
    """Tell whether `install` was run."""
    present = (common.environment("rucio") / "requirements.sha256").exists()
    return present and all(shutil.which(tool) for tool in ("memcached", "xrootd", "xrdcp"))


def up(state: State) -> None:
    """Start everything; an instance that was down goes on with its data."""
    if not installed():
        raise StackError("not installed: run make stack-install, or stack.py install rucio")
    for folder in ("etc", "storage/tape", "storage/disk", "transfers"):
        (state.folder / folder).mkdir(parents=True, exist_ok=True)
    passwords = _passwords(state)
    _postgresql(state)
    state.spawn(
        "memcached",
        ["memcached", "-l", "127.0.0.1", "-p", state.port("memcached"), "-U", "0", "-m", "64"]
        + (["-u", "nobody"] if os.geteuid() == 0 else []),
    )
    _xrootd(state)
    _configure(state, passwords)
    python = common.environment("rucio") / "bin/python"
    variables = _variables(state)
    state.spawn(
        "issuer",
        [python, SERVER / "issuer.py", str(state.port("issuer")), state.folder / "etc/issuer.pem"],
    )
    # The server imports for seconds and needs no table before its first request.
    state.spawn("server", _gunicorn(state), env=variables)
    _wait_for_port(state, "issuer")
    common.run(
        [python, SERVER / "bootstrap.py", state.folder / "etc/bootstrap.json"],
        env={**os.environ, **variables},
    )
    state.spawn(
        "daemons",
        [python, SERVER / "daemons.py"],
        env={
            **variables,
            "STACK_TRANSFERS": str(state.folder / "transfers"),
            "STACK_FAULTS": str(state.folder / "etc/faults.json"),
        },
    )
    host = f"http://127.0.0.1:{state.port('server')}"
    common.wait_for(lambda: _ping(host), "the Rucio server", alive=lambda: state.alive("server"))
    state.write_env(
        {
            "RUCIO_HOST": host,
            "RUCIO_CONFIG": str(state.folder / "etc/client.cfg"),
            "RUCIO_PASSWORDS": str(state.folder / "etc/passwords"),
            "RUCIO_DISK": "CTAO-DISK",
            "RUCIO_XROOTD": "CTAO-XROOTD",
            "RUCIO_TAPE": "CTAO-TAPE",
            "RUCIO_ISSUER": f"http://127.0.0.1:{state.port('issuer')}/",
            "RUCIO_FAULTS": str(state.folder / "etc/faults.json"),
            "RUCIO_MEMCACHED": str(state.port("memcached")),
            "RUCIO_STORAGE": str(state.folder / "storage"),
            "RUCIO_DATABASE": f"postgresql://rucio@127.0.0.1:{state.port('postgresql')}/rucio",
        }
    )


def down(state: State) -> None:
    """Stop everything, the servers before the database; data stays."""
    for name in PROCESSES:
        state.stop(name)
    state.stop("postgresql", signal.SIGINT, 20)


def stop_server(state: State) -> None:
    """Stop the Rucio server alone, as in a failure; the daemons and the storage go on."""
    state.stop("server")


def start_server(state: State) -> None:
    """Start the Rucio server again."""
    state.spawn("server", _gunicorn(state), env=_variables(state))


def trust(state: State, name: str, issuer: str, identities: dict[str, str]) -> None:
    """Let a running server take the tokens of another identity provider, too.

    Rucio asks all its providers when it starts to take tokens: this one must be up then.

    Parameters
    ----------
    state : State
        The running part.
    name : str
        Of the provider in Rucio's settings.
    issuer : str
        Address of the provider, as its tokens write it.
    identities : dict
        Rucio account by subject of a token.
    """
    trusted = _trusted(state) | {name: {"issuer": issuer, "identities": identities}}
    state.private("etc/trusted.json", json.dumps(trusted))
    _configure(state, _passwords(state))
    common.run(
        [
            common.environment("rucio") / "bin/python",
            SERVER / "bootstrap.py",
            state.folder / "etc/bootstrap.json",
        ],
        env={**os.environ, **_variables(state)},
    )
    stop_server(state)
    start_server(state)
    host = f"http://127.0.0.1:{state.port('server')}"
    common.wait_for(lambda: _ping(host), "the Rucio server", alive=lambda: state.alive("server"))


def _trusted(state: State) -> dict:
    path = state.folder / "etc/trusted.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _variables(state: State) -> dict[str, str]:
    # Whoever starts the server may have switched Rucio's library to client mode for himself.
    return {"RUCIO_CONFIG": str(state.folder / "etc/rucio.cfg"), "RUCIO_CLIENT_MODE": ""}


def _wait_for_port(state: State, name: str) -> None:
    port = state.port(name)
    common.wait_for(lambda: common.port_answers(port), name, alive=lambda: state.alive(name))


def _ping(host: str) -> bool:
    try:
        with urllib.request.urlopen(f"{host}/ping", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _passwords(state: State) -> dict[str, str]:
    folder = state.folder / "etc/passwords"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for account in ACCOUNTS:
        if not (folder / account).exists():
            state.private(f"etc/passwords/{account}", secrets.token_urlsafe(18))
    return {account: (folder / account).read_text() for account in ACCOUNTS}


def _postgresql_tool(name: str) -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: int(path.parts[-3].split(".")[0]),
    )
    if found:
        return found[-1]
    if tool := shutil.which(name):
        return Path(tool)
    raise StackError(f"PostgreSQL's {name} is not here: run stack.py install rucio")


def _postgresql(state: State) -> None:
    user = common.service_user("postgres")
    data = state.folder / "postgresql"
    if not (data / "PG_VERSION").exists():
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user, user)
        options = {"user": user, "group": user, "cwd": "/"} if user else {}
        common.run(
            [
                *(_postgresql_tool("initdb"), "-D", data, "-A", "trust", "-U", "rucio"),
                *("--no-sync", "-E", "UTF8", "--locale=C"),
            ],
            **options,
        )
    # A test database: durability is given away for speed.
    settings = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "timezone=UTC"]
    settings += ["shared_buffers=64MB", "max_connections=200"]
    state.spawn(
        "postgresql",
        [_postgresql_tool("postgres"), "-D", data, "-h", "127.0.0.1", "-k", data]
        + ["-p", state.port("postgresql")]
        + [item for setting in settings for item in ("-c", setting)],
        user=user,
    )
    psql = ["psql", "-h", "127.0.0.1", "-p", str(state.port("postgresql")), "-U", "rucio"]

    def answers():
        return not subprocess.run(
            [*psql, "-d", "postgres", "-qc", "select 1"], capture_output=True, check=False
        ).returncode

    common.wait_for(answers, "PostgreSQL", alive=lambda: state.alive("postgresql"))
    there = common.run(
        [*psql, "-d", "postgres", "-tAc", "select 1 from pg_database where datname='rucio'"]
    )
    if not there.stdout.strip():
        common.run([*psql, "-d", "postgres", "-qc", "create database rucio"])


def _xrootd(state: State) -> None:
    user = common.service_user("xrootd")
    folders = [state.folder / "storage/xrootd", state.folder / "xrootd"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        if user:
            shutil.chown(folder, user)
    # XRootD can't be bound to an address: it is told to talk to this machine only.
    config = f"""\
xrd.port {state.port("xrootd")}
xrd.network nodnr
xrd.allow host localhost
xrd.allow host 127.0.0.1
all.export /xrootd
all.export /tape readonly
all.export /disk readonly
all.adminpath {folders[1]}
all.pidpath {folders[1]}
oss.localroot {state.folder}/storage
xrootd.chksum max 4 adler32
"""
    path = state.folder / "etc/xrootd.cfg"
    path.write_text(config)
    state.spawn("xrootd", ["xrootd", "-c", path, "-n", state.name], user=user)
    _wait_for_port(state, "xrootd")


def _gunicorn(state: State) -> list:
    return [
        common.environment("rucio") / "bin/gunicorn",
        *("--workers", "2", "--threads", "8", "--worker-class", "gthread", "--timeout", "120"),
        *("--bind", f"127.0.0.1:{state.port('server')}", "--graceful-timeout", "2"),
        *("--access-logfile", state.logs / "access.log", "--pythonpath", SERVER),
        "wsgi:application",
    ]


def _configure(state: State, passwords: dict[str, str]) -> None:
    package = next(common.environment("rucio").glob("lib/python3*/site-packages/rucio"))
    database = f"postgresql+psycopg://rucio@127.0.0.1:{state.port('postgresql')}/rucio"
    host = f"http://127.0.0.1:{state.port('server')}"
    issuer = f"http://127.0.0.1:{state.port('issuer')}/"
    policy = """\
[policy]
package = bdms_rucio_policy
lfn2pfn_algorithm_default = ctao_bdms
extract_scope = ctao_bdms
"""
    server = f"""\
[common]
logdir = {state.logs}
loglevel = INFO
[database]
default = {database}
schema = rucio
echo = 0
pool_recycle = 3600
pool_reset_on_return = rollback
[alembic]
cfg = {state.folder}/etc/alembic.ini
[bootstrap]
userpass_identity = root
userpass_pwd = {passwords["root"]}
userpass_email = root@localhost
[conveyor]
scheme = file,root
transfertool = mock
[repairer]
updated_at_delta = 1800
[metadata]
plugins = rucio.core.did_meta_plugins.json_meta.JSONDidMeta
[cache]
url = 127.0.0.1:{state.port("memcached")}
[oidc]
idpsecrets = {state.folder}/etc/idpsecrets.json
admin_issuer = local
expected_audience = rucio
expected_scope = openid
{policy}"""
    alembic = f"""\
[alembic]
script_location = {package}/db/sqla/migrate_repo/
sqlalchemy.url = {database}
version_table_schema = rucio
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARN
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(levelname)s %(message)s
"""
    client = f"""\
[client]
rucio_host = {host}
auth_host = {host}
auth_type = userpass
username = operator
password = {passwords["operator"]}
account = operator
{policy}"""
    secret = {
        "client_id": "rucio",
        "client_secret": "not-used",
        "redirect_uris": [f"{host}/auth/oidc_token", f"{host}/auth/oidc_code"],
    }
    trusted = _trusted(state)
    issuers = {"local": issuer} | {name: item["issuer"] for name, item in trusted.items()}
    providers = {
        name: secret
        | {"issuer": address}
        | {"SCIM": secret | {"issuer": address, "grant_type": "client_credentials"}}
        for name, address in issuers.items()
    }
    bootstrap = {
        "identities": {
            f"SUB={subject}, ISS={item['issuer']}": account
            for item in trusted.values()
            for subject, account in item["identities"].items()
        },
        "passwords": passwords,
        "issuer": issuer,
        "storage": str(state.folder / "storage"),
        "xrootd_port": state.port("xrootd"),
    }
    state.private("etc/rucio.cfg", server)
    state.private("etc/alembic.ini", alembic)
    state.private("etc/client.cfg", client)
    state.private("etc/idpsecrets.json", json.dumps(providers))
    state.private("etc/bootstrap.json", json.dumps(bootstrap))
