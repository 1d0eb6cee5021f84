"""DIRAC 9 behind DiracX on one MariaDB: optimisers, Matcher and two pilots' JobAgents run jobs.

The servers are the released ones. Stand-ins are the S3 store of the sandboxes, OpenSearch (job
parameters) and the identity provider. The JobAgents run what a pilot leaves on a worker node,
with an InProcess computing element: jobs run on this machine. Users alice and bob (group
dteam_user) and admin. ``up`` on a running stack renews the logins.
"""

import json
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import dirac9_configuration as configuration
import dirac9_diracx as diracx
import mariadb
from common import HERE, State, port_answers, run, wait_for
from dirac9_environment import (
    SERVER,
    check_installed,
    dirac,
    dirac_command,
    dirac_variables,
    diracx_python,
    install,
    installed,
    spawn,
)

__all__ = ["down", "install", "installed", "running", "up"]

AUXILIARY = ("mariadb", "opensearch", "s3", "idp", "diracx")
# The CS is a process of its own: the other services read it while they start.
PROCESSES = (*AUXILIARY, "configuration", "services", "executors")
# Seconds; a starved machine takes minutes, and a process that ends is noticed at once.
STARTUP = 600
# DIRAC keeps these users' proxies for their jobs; the pilot has one to ask for jobs with.
WITH_PROXY = ("alice", "bob", "pilot")
PROXY_HOURS = 72


def _agents() -> list[str]:
    """Return the names of the JobAgents; each runs one job at a time."""
    return [f"jobagent{number}" for number in range(int(os.environ.get("DIRAC9_SLOTS", "2")))]


def running(state: State) -> bool:
    """Tell whether everything is alive."""
    return all(state.alive(name) for name in (*PROCESSES, *_agents()))


def _wait(state: State, name: str, ready) -> None:
    what = f"{name} ({state.logs}/{name}.log)"
    wait_for(ready, what, timeout=STARTUP, alive=lambda: state.alive(name))


def _ports(state: State) -> dict[str, int]:
    names = (*AUXILIARY, *configuration.SERVICES)
    return {name: state.port(name) for name in names}


def _write(state: State, name: str, content: dict) -> bool:
    """Write a configuration file; tells whether it changed."""
    text, path = configuration.text(content), state.folder / name
    if path.exists() and path.read_text() == text:
        return False
    state.private(name, text)
    return True


def _make_certificates(state: State) -> None:
    folder = state.folder / "grid"
    authorities = folder / "certificates"
    if authorities.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    script = SERVER / "certificates.py"
    users = list(configuration.USERS)
    run([dirac() / "python", script, folder, configuration.ORGANISATION, *users])
    authority = folder / "cacert.pem"
    digest = run(["openssl", "x509", "-in", authority, "-noout", "-hash"]).stdout.strip()
    temporary = folder / "certificates.new"
    temporary.mkdir()
    shutil.copy(authority, temporary / f"{digest}.0")
    temporary.rename(authorities)


def _start_stores(state: State, ports: dict[str, int]) -> None:
    """Start what holds data: MariaDB, S3, OpenSearch, and the identity provider."""
    python = diracx_python()
    moto = "import sys; from moto.server import main; main(sys.argv[1:])"
    state.spawn("s3", [python, "-c", moto, "-H", "127.0.0.1", "-p", ports["s3"]])
    uvicorn = [python, *diracx.UVICORN]
    argv = [*uvicorn, "--port", ports["opensearch"], "--app-dir", SERVER, "opensearch:app"]
    state.spawn("opensearch", argv)
    issuer = f"http://127.0.0.1:{ports['idp']}"
    folder = HERE / "diracx_server"
    argv = [*uvicorn, "--port", ports["idp"], "--app-dir", folder, "idp:app"]
    state.spawn("idp", argv, env={"IDP_ISSUER": issuer, "IDP_USER": "alice"})
    mariadb.start(state, "--max-connections=500")
    mariadb.grant(state, "Dirac", "*.*")


def _make_databases(state: State) -> None:
    """Make all databases, with DIRAC's tables where it brings SQL files for them."""
    source = next((dirac().parent / "lib").glob("python*/site-packages/DIRAC"))
    statements = []
    for system, names in configuration.DATABASES.items():
        for name in names:
            statements.append(
                f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; USE {name};"
            )
            path = source / f"{system}System" / "DB" / f"{name}.sql"
            # The others are made by SQLAlchemy when their service starts.
            lines = path.read_text().splitlines() if path.exists() else []
            # The files' own account and database are named otherwise here.
            skipped = ("use ", "create database", "drop database", "grant ", "flush ")
            statements += [line for line in lines if not line.lower().startswith(skipped)]
    for name in diracx.OWN:
        statements.append(f"DROP DATABASE IF EXISTS DiracX{name}; CREATE DATABASE DiracX{name};")
    mariadb.execute(state, "\n".join(statements) + "\n")


def _start_services(state: State, ports: dict[str, int]) -> None:
    """Start DIRAC: the CS, then the services that read it, and the optimisers."""
    variables = dirac_variables(state, "server")
    argv = [dirac() / "dirac-service", configuration.CONFIGURATION]
    spawn(state, "configuration", argv, variables)
    _wait(state, "configuration", lambda: port_answers(ports[configuration.CONFIGURATION]))
    services = [name for name in configuration.SERVICES if name != configuration.CONFIGURATION]
    spawn(state, "services", [dirac() / "python", SERVER / "services.py", *services], variables)
    _wait(state, "services", lambda: all(port_answers(ports[name]) for name in services))
    # It asks OptimizationMind for work.
    argv = [dirac() / "dirac-executor", "WorkloadManagement/Optimizers"]
    spawn(state, "executors", argv, variables)


def _start_diracx(state: State, ports: dict[str, int], tasks) -> None:
    _together(*tasks)
    for name in ("opensearch", "idp"):
        _wait(state, name, lambda name=name: port_answers(ports[name]))
    # DiracX ends at once where the store is slow to answer.
    _wait(state, "s3", lambda: diracx.answers(f"http://127.0.0.1:{ports['s3']}/"))
    diracx.start(state, ports)
    url = f"http://127.0.0.1:{ports['diracx']}/api/health/ready"
    _wait(state, "diracx", lambda: diracx.answers(url))


def _make_proxy(state: State, user: str) -> None:
    """Log a user in to DIRAC, which keeps a proxy for the user's jobs."""
    grid = state.folder / "grid"
    proxy = state.folder / "proxies" / user
    proxy.parent.mkdir(mode=0o700, exist_ok=True)
    if proxy.exists() and time.time() - proxy.stat().st_mtime < PROXY_HOURS * 1800:
        return
    pair = ["-C", grid / f"{user}cert.pem", "-K", grid / f"{user}key.pem", "-T", str(PROXY_HOURS)]
    group = configuration.USERS[user]
    dirac_command(state, "dirac-login", group, *pair, root="client", proxy=proxy)


def _start_agents(state: State, ports: dict[str, int]) -> None:
    """Start the JobAgents, each on a worker node of its own."""
    processors = int(os.environ.get("DIRAC9_PROCESSORS", "2"))
    for number, name in enumerate(_agents()):
        content = configuration.worker(ports, number, processors)
        _write(state, f"worker{number}/etc/dirac.cfg", content)
        node = state.folder / f"worker{number}"
        proxy = state.private(f"worker{number}/proxy", (state.folder / "proxies/pilot").read_text())
        variables = dirac_variables(state, node.name, proxy)
        # As on a grid node, nothing of the submitter's environment is there: only what the site
        # offers. That is by default the environment which runs this script.
        offered = os.environ.get("DIRACX_WORKER_PATH", str(Path(sys.executable).parent))
        variables["PATH"] = f"{offered}:{dirac()}:/usr/local/bin:/usr/bin:/bin"
        variables |= {"HOME": str(node), "LANG": "C.UTF-8", "TMPDIR": str(node)}
        given = [f"{key}={value}" for key, value in variables.items()]
        agent = [dirac() / "python", SERVER / "jobagent.py", "WorkloadManagement/JobAgent"]
        state.spawn(name, ["env", "-i", f"--chdir={node}", *given, *agent])


def up(state: State) -> None:
    """Start everything, or renew the logins where it runs."""
    check_installed()
    if not running(state):
        down(state)
        _start(state)
    # State.port() would give a new one to each service, as their ports do answer.
    ports = json.loads((state.run / "ports.json").read_text())
    for user in configuration.USERS:
        diracx.login(state, user, ports)
    _start_agents(state, ports)
    state.write_env(
        {
            "DIRACX_URL": f"http://127.0.0.1:{ports['diracx']}",
            "DIRACX_CREDENTIALS_PATH": str(state.folder / "credentials/alice.json"),
            "DIRAC9_STACK": str(state.folder),
            "DIRAC9_SITE": configuration.SITE,
        }
    )


def _together(*tasks) -> None:
    """Run tasks at the same time; the first failure is raised once all have ended."""
    with ThreadPoolExecutor() as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()


def _configure(state: State, ports: dict[str, int]) -> bool:
    """Write DIRAC's configurations; tells whether the central one changed."""
    password, key = mariadb.password(state), diracx.api_key(state)
    _write(state, "server/etc/dirac.cfg", configuration.server(ports, state.folder / "grid", key))
    _write(state, "client/etc/dirac.cfg", configuration.client(ports))
    central = configuration.central(ports, password, state.folder / "sandboxes")
    if not _write(state, "central.cfg", central):
        return False
    # The configuration service adds to its own copy.
    state.private("server/etc/Production.cfg", (state.folder / "central.cfg").read_text())
    return True


def _start(state: State) -> None:
    # Keys and proxies are in here.
    state.folder.chmod(0o700)
    ports = _ports(state)
    fresh = not (state.folder / "complete").exists()
    _together(
        partial(_start_stores, state, ports),
        partial(diracx.make_secrets, state),
        partial(_make_certificates, state),
    )
    changed = _configure(state, ports) or fresh
    tasks = []
    if changed:
        # The tokens in the proxies name the server's address.
        shutil.rmtree(state.folder / "proxies", ignore_errors=True)
        tasks.append(partial(diracx.synchronise, state))
    if fresh:
        _make_databases(state)
        _wait(state, "opensearch", lambda: port_answers(ports["opensearch"]))
        tasks.append(partial(diracx.make_tables, state, ports))
    _together(partial(_start_services, state, ports), partial(_start_diracx, state, ports, tasks))
    last = [partial(_make_proxy, state, user) for user in WITH_PROXY]
    if fresh:
        synchronise = partial(dirac_command, state, "dirac-rss-sync", "--element")
        last += [partial(synchronise, element) for element in ("Site", "Resource")]
    _together(*last)
    (state.folder / "complete").touch()


def _descendants(pid: int) -> list[int]:
    """Return the processes below a process."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def down(state: State) -> None:
    """Stop everything, jobs included."""
    for name in [name for name in state.processes() if name.startswith("jobagent")]:
        pid = state.pid(name)
        jobs = _descendants(pid) if pid else []
        # On SIGTERM an agent waits for its jobs' ends.
        state.stop(name, signal.SIGKILL)
        for job in jobs:
            try:
                os.kill(job, signal.SIGKILL)
            except ProcessLookupError:
                continue
    for name in reversed(PROCESSES):
        state.stop(name)
