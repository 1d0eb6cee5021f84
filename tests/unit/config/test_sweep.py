"""Whatever stands in a configuration: accepted as documented, or refused in a line naming the key.

The fields are those of the models (`sweep_tools.places`): a new one is swept without a change here
if one of `configurations` has it, or its documentation an example.
"""

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from configurations import configuration_sweep
from ctabatch.config.load import load_config, parse_config
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError


@pytest.fixture(scope="module")
def sweep():
    return configuration_sweep()


def test_every_field_is_covered(sweep, capsys):
    sections = {}
    for name in [*(place.name for place in sweep.found), *sweep.unfound]:
        found, all_ = sections.setdefault(name.split(".")[0], [0, 0])
        sections[name.split(".")[0]] = [found + (name not in sweep.unfound), all_ + 1]
    with capsys.disabled():
        found, total = len(sweep.found), len(sweep.found) + len(sweep.unfound)
        print(f"\nfields swept: {found} of {total}")
        for name, (found, total) in sections.items():
            print(f"  {name:14} {found:3} of {total:3}")
    assert not sweep.unfound, (
        "give them an example in their Field(), or a value in tests/configurations.py"
    )


def test_every_field_with_every_bad_value(sweep, capsys):
    sweep.judge_all()
    with capsys.disabled():
        print(f"\nbad values: {sweep.count['refused']} refused, {sweep.count['accepted']} allowed")
    assert sweep.count["refused"] > 5 * sweep.count["accepted"]


def test_every_field_with_a_typo(sweep):
    sweep.judge_typos()


def accepted_or_one_line(action):
    """Fail unless the action ends, or ends in one line."""
    try:
        action()
    except InputError as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert len(line) < 1000, line


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Configuration.model_fields, "name", "pointing", "rses"])
            | st.text(max_size=5),
            children,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(list(Configuration.model_fields)), json_like, max_size=4))
def test_any_content(content):
    accepted_or_one_line(lambda: parse_config(content, "file.yaml"))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200) | st.text(alphabet=" \n\t:-[]{}&*!|>'\"%@`#?a1.~", max_size=60))
def test_any_bytes(tmp_path, data):
    path = tmp_path / "file.yaml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    accepted_or_one_line(lambda: load_config(path))
