import json

import pytest

from ctabatch.errors import InputError
from ctabatch.simulation.card import RunCard
from ctabatch.simulation.subarrays import known_subarrays, load_subarray


def test_a_card_survives_writing_and_reading(make_card, tmp_path):
    card = make_card(view_cone="5 deg", type_throughput={"LST": 0.9})
    path = card.write(tmp_path / "gamma.openiact.json")
    again = RunCard.read(path)
    assert again == card
    assert again.digest() == card.digest()
    assert [p.name for p in tmp_path.iterdir()] == ["gamma.openiact.json"]


def test_spelling_of_a_quantity_does_not_change_the_events(make_card):
    assert make_card(energy_min="100 GeV").digest() == make_card(energy_min="0.1 TeV").digest()


@pytest.mark.parametrize(
    "change",
    [{"sample": "other"}, {"energy_max": "11 TeV"}, {"optical_throughput": 0.9}, {"nsb": 1.1}],
)
def test_any_other_content_gives_other_seeds(make_card, change):
    assert make_card(**change).seed(1) != make_card().seed(1)


def test_runs_and_streams_have_their_own_seeds(make_card):
    card = make_card()
    seeds = {tuple(card.seed(run, stream)) for run in (1, 2) for stream in (0, 1)}
    assert len(seeds) == 4


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"particle": "muon"}, "particle"),
        ({"energy_min": "1"}, "energy_min"),
        ({"zenith": "80 deg"}, "zenith"),
        ({"colour": "red"}, "colour"),
        ({"telescopes": []}, "telescopes"),
        ({"energy_min": "20 TeV"}, "energy_min has to be below"),
        ({"scatter_radius": "0 m"}, "scatter_radius"),
        ({"version": 99}, "version"),
    ],
)
def test_a_bad_card_is_one_line_with_file_and_key(make_card, tmp_path, change, key):
    content = {**json.loads(make_card().model_dump_json()), **change}
    path = tmp_path / "bad.openiact.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as caught:
        RunCard.read(path)
    message = str(caught.value)
    assert "bad.openiact.json" in message
    assert key in message
    assert "\n" not in message


def test_a_file_that_is_no_card(tmp_path):
    path = tmp_path / "no.openiact.json"
    with pytest.raises(InputError, match="no such file"):
        RunCard.read(path)
    path.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        RunCard.read(path)


def test_the_ending_of_a_card_is_checked(make_card, tmp_path):
    with pytest.raises(InputError, match=r"\.openiact\.json"):
        make_card().write(tmp_path / "card.json")


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("CTAO-North", {"LST": 4, "MST-NectarCam": 9}),
        ("CTAO-South", {"MST-FlashCam": 14, "SST": 37}),
    ],
)
def test_published_arrays(name, types):
    layout = load_subarray(name)
    found = {kind: sum(t.type == kind for t in layout.telescopes) for kind in types}
    assert found == types
    assert len(layout.telescopes) == sum(types.values())
    assert layout.site.name == name
    assert "Positions:" in layout.source
    assert name in known_subarrays()


def test_unknown_array_names_those_that_exist():
    with pytest.raises(InputError, match="CTAO-North, CTAO-South"):
        load_subarray("CTAO-East")


def test_part_of_an_array():
    layout = load_subarray("CTAO-North").select([1, 5])
    assert [t.name for t in layout.telescopes] == ["LSTN-01", "MSTN-01"]
    with pytest.raises(InputError, match="no telescope 99"):
        layout.select([99])


def test_layouts_in_a_folder_of_the_user(tmp_path, monkeypatch):
    text = (
        "name: mine\nsource: me\n"
        "site: {name: X, latitude: 1 deg, longitude: 2 deg, altitude: 3 m}\n"
        "telescopes: [{id: 1, type: LST, x: 0 m, y: 0 m, z: 1 m}]\n"
    )
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setenv("CTABATCH_SUBARRAYS", str(tmp_path))
    assert load_subarray("mine").telescopes[0].type == "LST"
    (tmp_path / "bad.yaml").write_text(text.replace("LST", "XST"))
    with pytest.raises(InputError, match=r"bad\.yaml: telescopes\[0\]\.type"):
        load_subarray("bad")
