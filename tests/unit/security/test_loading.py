"""What is read from files is data: no object of YAML, no pickle, no template that a person types."""

import ast
from pathlib import Path

import jinja2
import pytest

from ctabatch.concordia.cards import environment
from ctabatch.config.iam import Provider
from ctabatch.errors import InputError
from ctabatch.files import read_json
from ctabatch.iam.store import Login, LoginStore
from ctabatch.report.rendering import make_environment

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")])
#: The one reader of YAML; its loaders derive from SafeLoader.
YAML_READER = ROOT / "src/ctabatch/config/load.py"
#: Reads the model that its own run has trained, or `fetch_models` has compared with its SHA-256.
MODEL_READER = ROOT / "src/ctabatch/irf/models.py"
FORBIDDEN = {
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "pickle.load",
    "pickle.loads", "joblib.load", "dill.load", "marshal.loads", "Reconstructor.read", "eval", "exec",
    "jinja2.Template", "Template",
}  # fmt: skip


def calls(path):
    """Dotted names of what a file calls."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_nothing_runs_what_it_reads():
    found = {(path, name) for path in SOURCES for name, _ in calls(path) if name in FORBIDDEN}
    assert found == {(YAML_READER, "yaml.load"), (MODEL_READER, "Reconstructor.read")}


def test_no_template_is_made_of_a_value():
    for path in SOURCES:
        assert not [name for name, _ in calls(path) if name.endswith(".from_string")], path


def test_no_shell_is_given_text():
    for path in SOURCES:
        for name, node in calls(path):
            shell = [item for item in node.keywords if item.arg == "shell"]
            assert not shell or not name.startswith("subprocess"), (path, node.lineno)
            assert name not in ("os.system", "os.popen"), path


@pytest.mark.parametrize(
    "folder", ["irf/templates", "analysis/templates", "report"], ids=lambda name: name
)
def test_reports_escape_what_they_show(folder):
    engine = make_environment(ROOT / "src/ctabatch" / folder)
    text = engine.from_string("{{ name }}").render(name="<script>alert('x')</script>")
    assert text == "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"


def test_no_value_of_a_report_is_called_safe():
    found = [
        line.strip()
        for path in ROOT.glob("src/**/*.html.j2")
        for line in path.read_text().splitlines()
        if "safe }}" in line or "autoescape" in line
    ]
    assert found == ["<style>{{ styles | safe }}</style>"]  # the package's own style sheet


def test_a_card_needs_all_its_values():
    with pytest.raises(jinja2.UndefinedError):
        environment().get_template("corsika7.card.j2").render()


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, "{", "\xff", ""])
def test_json_that_is_none(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="is not JSON"):
        read_json(path)


def test_logins_are_for_their_owner_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    provider = Provider(issuer="https://iam.example.org/", client_id="c")
    store = LoginStore("escape", provider)
    store.path.parent.mkdir(parents=True, mode=0o755)
    store.save(Login(provider.issuer, "c", "ada", {}, "refresh"))
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert store.path.parent.stat().st_mode & 0o777 == 0o700
