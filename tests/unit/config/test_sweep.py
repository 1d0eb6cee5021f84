"""Whatever stands in a configuration: it is accepted, or refused in one line that names the key."""

import copy

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from ctabatch.config.load import load_config, parse_config
from ctabatch.config.mistakes import key_text
from ctabatch.config.model import Configuration
from ctabatch.errors import InputError

VALUES = [
    None,
    True,
    0,
    -1,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x" * 100_000,
    "1 furlong",
    "1 kg",
    "1e999 deg",
    "20 deg\n",
    "ünïcödé \U0001f52d",
    "$(touch /tmp/x); `ls` | tee & {name} 'a' \"b\" \\",
    "../../etc/passwd",
    "a\x00b\x1b[31m",
    "\u202egnp.exe",
    [],
    [[]],
    {},
    {"a": 1},
]


def leaves(value, path=()):
    """Places of all values, sections and lists included."""
    if path:
        yield path
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from leaves(item, (*path, key))


def full(content):
    """Write every default out."""
    return parse_config(content).model_dump(mode="json", exclude_none=True)


def accepted_or_one_line(action):
    """Return None, or the one line of the refusal."""
    try:
        action()
    except InputError as error:
        line = str(error)
        return line if line.isprintable() and len(line) < 1000 else pytest.fail(line)
    return None


def refused(content, place):
    line = accepted_or_one_line(lambda: parse_config(content, "file.yaml"))
    if line is None:
        return False
    key = key_text(place)
    holder = line.removeprefix("file.yaml: ").split(": ")[0].split(" ")[0]
    # The key itself, or a section that holds it (its keys contradict each other).
    assert key.startswith(holder) or holder.startswith(key), (key, line)
    return True


def test_every_key_with_every_bad_value(content):
    valid = full(content)
    places = list(leaves(valid))
    assert len(places) > 80
    count = 0
    for place in places:
        for value in VALUES:
            changed = copy.deepcopy(valid)
            *path, last = place
            node = changed
            for part in path:
                node = node[part]
            node[last] = value
            count += refused(changed, place)
    assert count > 0.8 * len(places) * len(VALUES)


def test_every_key_with_a_typo(content):
    valid = full(content)
    for place in leaves(valid):
        if isinstance(place[-1], int) or "rses" in place[:-1]:
            continue
        changed = copy.deepcopy(valid)
        node = changed
        for part in place[:-1]:
            node = node[part]
        node[f"{place[-1]}_"] = node.pop(place[-1])
        with pytest.raises(InputError, match=f"{place[-1]}_: unknown key"):
            parse_config(changed)


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
