"""The generated files are those of the models, and work where they are used."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from ctabatch.config.documentation import COMMAND, generated_files, write_generated
from ctabatch.config.explain import entries
from ctabatch.config.load import parse_config
from ctabatch.config.schema import json_schema
from ctabatch.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "workflow/schemas/config.schema.json"


@pytest.mark.parametrize("name", ["workflow/schemas/config.schema.json", "config/README.md"])
def test_no_drift(name):
    expected = generated_files(ROOT)[Path(name)]
    present = (ROOT / name).read_text(encoding="utf-8")
    assert present == expected, f"{name} does not fit the models; mend it with: {COMMAND}"


def sections(node):
    if isinstance(node, dict):
        if "properties" in node and node.get("type") != "string":
            yield node
        for value in node.values():
            yield from sections(value)


def test_schema_is_strict_and_described():
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    found = list(sections(schema))
    assert len(found) > 15
    assert all(section["additionalProperties"] is False for section in found)
    undescribed = [entry.key for entry in entries() if len(entry.meaning) < 5]
    assert undescribed == []


def test_demo_is_valid_for_models_and_schema():
    content = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(json_schema()).validate(content)
    assert parse_config(content).irf is not None


def test_schema_and_models_agree_on_the_written_defaults(content):
    written = parse_config(content).model_dump(mode="json", exclude_none=True)
    jsonschema.Draft202012Validator(json_schema()).validate(written)


def test_readme_has_every_key():
    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    for entry in entries():
        assert f"| `{entry.key.rpartition('.')[2]}` |" in text


def test_write_is_idempotent_and_needs_a_checkout(tmp_path):
    with pytest.raises(InputError, match="no checkout"):
        write_generated(tmp_path)
    (tmp_path / "workflow").mkdir()
    (tmp_path / "config").mkdir()
    assert len(write_generated(tmp_path)) == 2
    assert write_generated(tmp_path) == []


SNAKEFILE = """
import json
from snakemake.utils import validate
from ctabatch.config.load import parse_config

validate(config, {schema!r})
print(json.dumps(parse_config(json.loads(json.dumps(config))).irf.binning.bins_per_decade))

rule all:
    shell: "true"
"""


def test_a_workflow_validates_with_it(tmp_path, content):
    """With Snakemake's default of filling defaults in, which the models take as their own."""
    content["irf"]["binning"] = {"bins_per_decade": 4}
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(schema=str(SCHEMA)))
    (tmp_path / "config.json").write_text(json.dumps(content))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--dry-run", "--configfile", "config.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "4"


@pytest.mark.parametrize("fill", [True, False])
def test_snakemake_names_a_typo(content, fill):
    content["irf"]["zenit"] = "20 deg"
    with pytest.raises(WorkflowError, match="'zenit' was unexpected"):
        validate(content, SCHEMA, set_default=fill)


def test_defaults_that_snakemake_fills_in_are_those_of_the_models(content):
    filled = json.loads(json.dumps(content))
    validate(filled, SCHEMA)
    assert filled["irf"]["nsb"] == "dark"
    assert parse_config(filled) == parse_config(content)
