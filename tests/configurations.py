"""Valid configurations, in which together every key occurs."""

from pathlib import Path

from ctabatch.config.load import parse_config, read_yaml
from ctabatch.config.model import Configuration
from sweep_tools import Sweep

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATIONS = sorted([*ROOT.glob("config/*.yaml"), *ROOT.glob("config/test/*.yaml")])
PROVIDER = {
    "issuer": "https://iam.example.org/",
    "client_id": "cta-batch",
    "client_secret_file": "secret",
    "ca_cert": "ca.pem",
    "claims": {
        "roles": [{"group": "/cta/operators", "gives": "operator"}],
        "projects": [{"group": "/cta/(P[0-9]+)", "gives": "\\1"}],
    },
    "services": {
        "lake": {"audience": "rucio", "scopes": ["openid"]},
        "storage": {"resource": "urn:cta:storage"},
    },
}
CORSIKA = {
    "name": "muons",
    "recipe": {
        "preset": "cta-iact",
        "code": "corsika7",
        "version": "78010",
        "options": ["CERENKOV", "IACT", "THIN"],
        "compiler_flags": ["-O2"],
        "debian_release": "13.7",
    },
    "card": {
        "primary": "proton",
        "energy_min": "100 GeV",
        "energy_max": "1 TeV",
        "zenith_min": "20 deg",
        "zenith_max": "20 deg",
        "showers_per_run": 10,
        "thinning": {"fraction": 1e-6},
        "detectors": [{"x": "0 m", "y": "0 m", "radius": "12.5 m"}],
    },
    "runs": 3,
    "after": ["results/concordia/first/plan.json"],
    "ingest": {"site": "CTAO-North"},
    "source": {"archive": "corsika-78010.tar.gz", "sha256": "0" * 64},
    "images": {
        "registry": {"address": "registry.example.org/cta/concordia"},
        "cvmfs": "/cvmfs/sw.example.org/images",
        "keys": {"sign": "sign.pem", "trusted": ["trusted.pem"]},
    },
    "membership": {"all_of": ["/escape"], "any_of": ["/cta", "/km3net"]},
}
#: What the configurations of the project leave out.
FURTHER = {
    "CORSIKA": {"concordia": CORSIKA},
    "open simulator in a container": {
        "concordia": {
            "name": "open",
            "recipe": {"code": "openiact"},
            "card": {
                "primary": "gamma",
                "energy_min": "100 GeV",
                "energy_max": "1 TeV",
                "zenith_min": "20 deg",
                "zenith_max": "20 deg",
                "scatter_radius": "500 m",
                "showers_per_run": 10,
                "subarray": "CTAO-North",
            },
            "runs": 1,
        }
    },
    "Rucio with a login": {
        "iam": {
            "provider": "escape",
            "providers": {"escape": PROVIDER},
            "local_projects": ["P1"],
            "dirac": {"url": "https://dirac.example.org", "vo": "cta", "group": "cta_user"},
        },
        "lake": {
            "backend": "rucio",
            "rucio": {
                "host": "https://rucio.example.org",
                "auth_host": "https://rucio-auth.example.org",
                "account": "cta",
                "auth_type": "oidc",
                "username": "cta",
                "password_file": "password",
                "token_file": "token",
                "login": "lake",
                "ca_cert": "ca.pem",
                "search_scopes": ["dl0"],
            },
        },
    },
    "sites": {
        "compute": {
            "pin": ["LCG.*"],
            "ban": ["LCG.Bad.org"],
            "rse_sites": {"DISK": ["localhost"]},
            "dirac": {
                "url": "https://dirac.example.org",
                "limits": {
                    "LCG.*": {"cpus": 8, "memory": "16 GB", "walltime": "48 h", "disk": "20 GB"}
                },
            },
        },
        "lake": {"local": {"rses": {"DISK": {"quota": 1000, "throughput": 1e6}}}},
    },
    "selections": {
        "analysis": {
            "name": "some",
            "data": {"dids": ["test:/ctao.dpps.test/test/a.fits"]},
            "target": {"lon": "83.6 deg", "lat": "22 deg"},
            "selection": {"start": "2026-01-01", "end": "2026-02-01"},
            "background": {"exclusion": [{"lon": "80 deg", "lat": "20 deg", "radius": "0.3 deg"}]},
            "models": {"candidates": {"a": "a.yaml"}, "source": "crab"},
        },
        "reprocessing": {
            "name": "some",
            "observations": [1001],
            "period": "2026-01-10/2026-01-12",
            "staging": {"rse": "DISK", "timeout": "1 h"},
        },
        "validation": {"reference": "reference.fits.gz"},
        "conditions": {"url": "postgresql://user@host/conditions", "version": "2026.1"},
    },
    "variations": {
        "irf": {
            "name": "all",
            "period": "2026-winter",
            "site": "CTAO-North",
            "subarray": "CTAO-North",
            "pointing": {"zenith": "20 deg"},
            "model": {
                "simulator": "corsika-simtel",
                "version": "7.8010_2025-02-01",
                "high_energy_interaction": "QGSJETII",
                "low_energy_interaction": "URQMD",
                "container": "images/corsika-simtel.sif",
            },
            "systematics": [{"name": "dust", "kind": "atmosphere", "atmosphere": "summer"}],
        }
    },
    "basket": {
        "analysis": {
            "name": "kept",
            "data": {"basket": "crab"},
            "target": {"lon": "83.6 deg", "lat": "22 deg"},
            "models": {"candidates": {"a": "a.yaml"}, "source": "crab"},
        }
    },
    "query": {
        "analysis": {
            "name": "asked",
            "data": {"query": "obs__object = Crab"},
            "target": {"lon": "83.6 deg", "lat": "22 deg"},
            "models": {"candidates": {"a": "a.yaml"}, "source": "crab"},
        }
    },
}


def configuration_sweep():
    """Make the sweep of the whole configuration."""
    files = {str(path.relative_to(ROOT)): read_yaml(path) for path in CONFIGURATIONS}
    return Sweep(Configuration, parse_config, files | FURTHER)
