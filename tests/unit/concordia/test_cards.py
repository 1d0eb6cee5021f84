"""Shower cards: what each program can run, and the input that it gets."""

import json

import pytest
from pydantic import ValidationError

from ctabatch.concordia.cards import LARGEST_SEED, render, seeds, self_test_card
from ctabatch.concordia.recipe import Recipe


def test_corsika_card(corsika):
    request = corsika()
    text = render(request.recipe, request.card, 2, 17)
    cards = [line.split() for line in text.splitlines()]
    assert cards[0] == ["RUNNR", "17"]
    assert cards[-1] == ["EXIT"]
    assert ["ERANGE", "30", "10000"] in cards
    assert ["THETAP", "20", "20"] in cards
    assert ["VIEWCONE", "0.", "5"] in cards
    assert ["OBSLEV", "215600"] in cards
    assert ["ATMOSPHERE", "6", "T"] in cards
    assert ["TELESCOPE", "0", "-5000", "500", "1250"] in cards
    assert ["CSCAT", "1", "50000", "0."] in cards
    assert [int(card[1]) for card in cards if card[0] == "SEED"] == seeds(2, 17)
    assert ["TELFIL", "/work/out/run000017.corsika"] in cards
    assert len(text.splitlines()) == len(set(text.splitlines())), "no card twice"


def test_card_without_telescopes_or_cherenkov_light(corsika):
    request = corsika(
        recipe={"preset": "km3net-muon", "version": "77550"},
        card={
            "primary": "iron",
            "energy_min": "1 TeV",
            "energy_max": "1e6 TeV",
            "zenith_min": "0 deg",
            "zenith_max": "85 deg",
            "showers_per_run": 5,
            "observation_level": "0 m",
        },
    )
    text = render(request.recipe, request.card, 0, 1)
    assert "PRMPAR  5626" in text
    assert "ATMOD   6" in text
    assert "PAROUT  T F" in text
    for key in ("TELESCOPE", "CWAVLG", "VIEWCONE", "CSCAT", "THIN", "ATMOSPHERE"):
        assert key not in text


def test_no_two_runs_share_a_seed():
    numbers = [
        seed
        for block in (0, 1, 224)
        for run in (1, 2, 3, 999_998, 999_999)
        for seed in seeds(block, run)
    ]
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) >= 1
    assert max(numbers) <= LARGEST_SEED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"card__zenith_max": "30 deg"}, "a view cone needs one direction"),
        ({"card__detectors": []}, "detectors need option IACT"),
        ({"card__view_cone": "0 deg", "card__zenith_max": "75 deg"}, "needs option CURVED"),
        ({"card__view_cone": "0 deg", "card__zenith_max": "95 deg"}, "needs option UPWARD"),
        ({"card__thinning": {"fraction": 1e-5}}, "thinning needs option THIN"),
        ({"card__energy_max": "1 GeV"}, "energy_min .* is above energy_max"),
        ({"card__primary": "gamma\nEXIT"}, "primary"),
        ({"card__energy_min": "30"}, "energy_min"),
        ({"source": None}, "corsika7 needs your own archive"),
        ({"runs": 1_000_000}, "at most 999999 runs fit"),
        ({"runs": 2, "first_run": 999_999}, "at most 1 runs fit"),
        ({"seed_block": 225}, "seed_block"),
    ],
)
def test_what_the_program_can_not_run_is_refused(corsika, changes, reason):
    with pytest.raises(ValidationError, match=reason):
        corsika(**changes)


def test_all_numbers_of_runs_can_be_used(corsika):
    assert corsika(runs=999_999).runs == 999_999


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"card__primary": "proton"}, "chasm simulates gamma, electron"),
        ({"card__detectors": []}, "chasm needs detectors"),
        ({"card__zenith_max": "80 deg"}, "up to 70 deg"),
        ({"source": {"archive": "x", "sha256": "0" * 64}}, "needs no source archive"),
    ],
)
def test_limits_of_chasm(chasm, changes, reason):
    with pytest.raises(ValidationError, match=reason):
        chasm(**changes)


def test_openiact_gets_a_run_card(chasm):
    from ctabatch.simulation.card import RunCard

    recipe = Recipe(code="openiact")
    content = json.loads(render(recipe, self_test_card(recipe), 3, 9))
    card = RunCard.model_validate_json(json.dumps(content["card"]))
    assert content["run"] == 9
    assert card.sample == "concordia-block3"
    assert len(card.telescopes) == 13


def test_registry_for_licensed_images_must_be_private(corsika):
    keys = {"sign": "key.pem", "trusted": ["key.pub"]}
    registry = {"address": "registry.example.org/cta/images", "push": True}
    with pytest.raises(ValidationError, match="not marked 'private: true'"):
        corsika(images__keys=keys, images__registry=registry)
    corsika(images__keys=keys, images__registry={**registry, "private": True})


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ({"registry": {"address": "h/x"}}, "need keys.trusted"),
        ({"cvmfs": "/cvmfs/x"}, "need keys.trusted"),
        (
            {"registry": {"address": "h/x", "push": True}, "keys": {"trusted": ["k"]}},
            "unsigned images are not pushed",
        ),
        ({"registry": {"address": "h.org/x", "insecure": True}}, "on this machine"),
        ({"registry": {"address": "h.org/x y"}}, "address"),
        ({"registry": {"address": "h.org/$(id)"}}, "address"),
    ],
)
def test_images_from_elsewhere_need_trust(chasm, images, reason):
    with pytest.raises(ValidationError, match=reason):
        chasm(**{f"images__{key}": value for key, value in images.items()})
