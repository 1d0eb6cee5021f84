"""DIRAC's configuration: the central one and those of server, client and worker node."""

import os
from collections.abc import Mapping
from pathlib import Path

VO = "dteam"
USERS = {
    "alice": "dteam_user",
    "bob": "dteam_user",
    "admin": "dteam_admin",
    "pilot": "dteam_pilot",
}
ORGANISATION = "CTA stack"
SITE, CE, QUEUE = "LCG.Loopback.ch", "ce.loopback.ch", "short"
# A site where no pilot ever starts: its jobs wait.
IDLE_SITE, IDLE_CE = "LCG.Idle.ch", "ce.idle.ch"
PLATFORM = "x86_64-el9"
PLATFORMS = {PLATFORM: [PLATFORM, "x86_64-el8"]}
RELEASE = "v9.1.22"
CONFIGURATION = "Configuration/Server"
SERVICES = (
    CONFIGURATION,
    "Accounting/DataStore",
    "Framework/ProxyManager",
    "RequestManagement/ReqManager",
    "ResourceStatus/ResourceStatus",
    "WorkloadManagement/JobManager",
    "WorkloadManagement/JobMonitoring",
    "WorkloadManagement/JobStateUpdate",
    "WorkloadManagement/Matcher",
    "WorkloadManagement/OptimizationMind",
    "WorkloadManagement/PilotManager",
    "WorkloadManagement/SandboxStore",
    "WorkloadManagement/WMSAdministrator",
)
DATABASES = {
    "Accounting": ("AccountingDB",),
    "Framework": ("ProxyDB",),
    "RequestManagement": ("ReqDB",),
    "ResourceStatus": ("ResourceStatusDB", "ResourceManagementDB"),
    "WorkloadManagement": (
        "JobDB",
        "JobLoggingDB",
        "PilotAgentsDB",
        "SandboxMetadataDB",
        "TaskQueueDB",
    ),
}
OPTIMISERS = ("JobPath", "JobSanity", "InputData", "JobScheduling")
HEARTBEAT = int(os.environ.get("DIRAC9_HEARTBEAT", "10"))
ANYBODY = {"Default": "authenticated"}


def text(section: Mapping, depth: int = 0) -> str:
    """Write nested mappings in DIRAC's configuration format."""
    lines = []
    indent = " " * depth
    for key, value in section.items():
        if isinstance(value, Mapping):
            lines.append(f"{indent}{key}\n{indent}{{\n{text(value, depth + 1)}{indent}}}\n")
        else:
            lines.append(f"{indent}{key} = {value}\n")
    return "".join(lines)


def _connection(ports: Mapping[str, int]) -> dict:
    address = f"dips://localhost:{ports[CONFIGURATION]}/{CONFIGURATION}"
    return {"Name": "Production", "Servers": address}


def server(ports: Mapping[str, int], grid: Path, api_key: str) -> dict:
    """Return the server's ``dirac.cfg``.

    Parameters
    ----------
    ports : dict
        Port of each service.
    grid : pathlib.Path
        Folder of the certificates.
    api_key : str
        With it DIRAC asks DiracX for its users' tokens.
    """
    certificate = {"CertFile": grid / "hostcert.pem", "KeyFile": grid / "hostkey.pem"}
    handler = "DIRAC/ConfigurationSystem/Service/ConfigurationHandler.py"
    service = {"Port": ports[CONFIGURATION], "HandlerPath": handler, "Authorization": ANYBODY}
    return {
        "DIRAC": {
            "Hostname": "localhost",
            "Configuration": {**_connection(ports), "Master": "yes"},
            "Security": {"UseServerCertificate": "yes", **certificate},
        },
        "LocalSite": {"Site": SITE},
        "DiracX": {"LegacyExchangeApiKey": api_key},
        "Systems": {"Configuration": {"Services": {"Server": service}}},
    }


def client(ports: Mapping[str, int]) -> dict:
    """Return the ``dirac.cfg`` of a user's installation."""
    return {
        "DIRAC": {
            "Configuration": _connection(ports),
            "Security": {"UseServerCertificate": "no"},
        },
        "LocalSite": {"Site": "DIRAC.Client.local"},
    }


def worker(ports: Mapping[str, int], number: int, processors: int) -> dict:
    """Return the ``dirac.cfg`` that a pilot leaves on a worker node."""
    site = {
        "Site": SITE,
        "GridCE": CE,
        "CEQueue": QUEUE,
        "LocalCE": "InProcess",
        "CPUTime": 1000000,
        "CPUTimeLeft": 1000000,
        "CPUNormalizationFactor": 10.0,
        "Architecture": "x86_64",
        "Platform": PLATFORM,
        "PilotReference": f"stack://pilot-{number}",
        "ReleaseVersion": RELEASE,
        "ConcurrentJobs": 1,
    }
    element = {
        "Platform": PLATFORM,
        "NumberOfProcessors": processors,
        "MaxRAM": 8192,
        "MaxTotalJobs": 1,
    }
    content = client(ports)
    content["LocalSite"] = site
    content["Resources"] = {"Computing": {"CEDefaults": element}}
    return content


def central(ports: Mapping[str, int], password: str, sandboxes: Path) -> dict:
    """Return the central configuration, as administrators of a VO write it.

    Parameters
    ----------
    ports : dict
        Ports of the services, and of ``mariadb``, ``opensearch``, ``idp`` and ``diracx``.
    password : str
        Of the databases' account.
    sandboxes : pathlib.Path
        Where the sandbox service would keep files of its own (DiracX keeps them in S3).
    """
    connection = _connection(ports)
    return {
        "DIRAC": {
            "Configuration": {**connection, "MasterServer": connection["Servers"]},
            "Security": {"Authorization": {}},
        },
        "DiracX": _diracx(ports),
        "Registry": _registry(),
        "Systems": _systems(ports, password, sandboxes),
        "Operations": _operations(),
        "Resources": _resources(ports),
    }


def _diracx(ports: Mapping[str, int]) -> dict:
    provider = {"ClientID": "diracx-test", "URL": f"http://127.0.0.1:{ports['idp']}"}
    organisation = {
        "DefaultGroup": "dteam_user",
        "IdP": provider,
        "UserSubjects": {user: f"sub-{user}" for user in USERS},
    }
    return {
        "URL": f"http://127.0.0.1:{ports['diracx']}",
        "CsSync": {"VOs": {VO: organisation}},
    }


def _registry() -> dict:
    name = f"/O={ORGANISATION}/CN="
    users = {
        user: {"DN": name + user, "CA": f"{name}CA", "Email": f"{user}@example.org"}
        for user in USERS
    }
    groups = {
        "dteam_user": {
            "Users": "alice, bob, admin",
            "Properties": "NormalUser",
            "AutoUploadProxy": "True",
        },
        "dteam_pilot": {"Users": "pilot", "Properties": "GenericPilot, LimitedDelegation"},
        "dteam_admin": {
            "Users": "admin",
            "Properties": "NormalUser, JobAdministrator, ServiceAdministrator, Operator, "
            "CSAdministrator, SiteManager, ProxyManagement, FullDelegation",
        },
    }
    host = (
        "TrustedHost, CSAdministrator, JobAdministrator, FullDelegation, ProxyManagement, "
        "Operator, ProductionManagement, GenericPilot"
    )
    return {
        "DefaultGroup": "dteam_user",
        "VO": {VO: {"VOAdmin": "admin"}},
        "Users": users,
        "Groups": {group: {**content, "VO": VO} for group, content in groups.items()},
        "Hosts": {"localhost": {"DN": f"{name}localhost", "Properties": host}},
    }


def _systems(ports: Mapping[str, int], password: str, sandboxes: Path) -> dict:
    systems: dict = {
        "Databases": {
            "User": "Dirac",
            "Password": password,
            "Host": "127.0.0.1",
            "Port": ports["mariadb"],
        },
        "NoSQLDatabases": {
            "User": "",
            "Password": "",
            "Host": "127.0.0.1",
            "Port": ports["opensearch"],
            "SSL": "No",
            "CRT": "No",
        },
    }
    for system, databases in DATABASES.items():
        systems[system] = {"Databases": {name: {"DBName": name} for name in databases}}
    for service in SERVICES:
        system, name = service.split("/")
        section = systems.setdefault(system, {})
        address = f"dips://localhost:{ports[service]}/{service}"
        section.setdefault("URLs", {})[name] = address
        options = {"Port": ports[service], "Authorization": dict(ANYBODY)}
        section.setdefault("Services", {})[name] = options
    workload = systems["WorkloadManagement"]
    workload["Databases"]["JobParametersDB"] = {}
    workload["Services"]["SandboxStore"] |= {
        "LocalSE": "ProductionSandboxSE",
        "BasePath": sandboxes,
        "UseDiracXBackend": "True",
        "Authorization": {**ANYBODY, "FileTransfer": ANYBODY},
    }
    # Seconds between two looks for new jobs.
    workload["Services"]["OptimizationMind"]["LoadJobPeriod"] = 2
    workload["Executors"] = {
        "Optimizers": {"Load": ", ".join(OPTIMISERS)},
        **{optimiser: {} for optimiser in OPTIMISERS},
    }
    agent = {
        "PollingTime": 1,
        "SubmissionDelay": 0,
        # A pilot ends after some failed matches or cycles; these stay for as long as the stack.
        "MaxCycles": 0,
        "StopAfterFailedMatches": 1000000,
        "StopAfterHostFailures": 1000000,
        "StopOnApplicationFailure": "False",
    }
    workload["Agents"] = {"JobAgent": agent}
    workload["JobWrapper"] = {
        "MinOutputDataBufferGB": 0,
        "MasterCatalogOnlyFlag": "True",
        # A kill reaches the payload with the answer to a heartbeat: one at the start, then by
        # default one in 30 minutes. Until then a killed job goes on, and may end as Done.
        "CheckingTime": HEARTBEAT,
        "MinCheckingTime": HEARTBEAT,
    }
    return systems


def _operations() -> dict:
    return {
        "Defaults": {
            # Empty: DiracX's default module makes the JobAgent reschedule each job.
            "SoftwareDistModule": "",
            "Pilot": {"CheckVersion": "False"},
            "ResourceStatus": {"Config": {"State": "Active", "Cache": 300}, "Policies": {}},
            # As a VO's default: everyone sees everyone's jobs.
            "Services": {"JobMonitoring": {"GlobalJobsInfo": "True"}},
            "InputDataPolicy": {
                "InputDataModule": "DIRAC.WorkloadManagementSystem.Client.InputDataResolution"
            },
        }
    }


def _resources(ports: Mapping[str, int]) -> dict:
    def site(name: str, element: str) -> dict:
        queues = {QUEUE: {"maxCPUTime": 2880}}
        elements = {element: {"CEType": "HTCondorCE", "Queues": queues}}
        return {"CE": element, "Name": name, "CEs": elements}

    store = {
        "Host": "localhost",
        "Port": ports["WorkloadManagement/SandboxStore"],
        "ProtocolName": "DIP",
        "Plugin": "DIP",
        "Protocol": "dips",
        "Path": "/WorkloadManagement/SandboxStore",
        "Access": "remote",
    }
    compatible = {name: ", ".join(others) for name, others in PLATFORMS.items()}
    return {
        "Sites": {"LCG": {SITE: site("Loopback", CE), IDLE_SITE: site("Idle", IDLE_CE)}},
        "Computing": {"CEDefaults": {}, "OSCompatibility": compatible},
        "StorageElements": {
            "ProductionSandboxSE": {"BackendType": "DISET", "AccessProtocol": "dips", "DIP": store}
        },
        "FileCatalogs": {},
    }
