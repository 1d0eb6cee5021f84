"""Metadata of an observation, of one file or put together of its chunks."""

import pytest

from ctabatch.dl3.observation import Observation, combine
from ctabatch.errors import InputError
from synthetic_dl2 import observation_metadata


def chunk(number, start, seconds=30, triggers=100, **changes):
    changes = {"obs__chunk": number, "obs__chunks": 3, "instance__id": f"id-{number}"} | changes
    return observation_metadata(triggers, start, seconds, **changes)


FIRST = chunk(1, "2026-01-15T22:00:00")
SECOND = chunk(2, "2026-01-15T22:00:30", triggers=120)
THIRD = chunk(3, "2026-01-15T22:01:00", triggers=90)


def test_chunks_without_gap_give_one_interval():
    observation = Observation.from_metadata([THIRD, FIRST, SECOND])
    assert len(observation.gti) == 1
    assert (observation.end - observation.start).total_seconds() == 90
    assert observation.ontime == 90
    assert observation.triggers == 310
    assert observation.livetime == pytest.approx(90 - 310e-4)
    assert FIRST["obs__azimuth_deg"] < observation.azimuth < THIRD["obs__azimuth_deg"]


def test_missing_chunk_is_a_gap_not_live_time():
    content = combine([FIRST, THIRD])
    assert content["obs__gti"] == (
        "2026-01-15T22:00:00/2026-01-15T22:00:30 2026-01-15T22:01:00/2026-01-15T22:01:30"
    )
    assert content["dl0__ids"] == "id-1 id-3"
    observation = Observation.from_metadata(content)
    assert len(observation.gti) == 2
    assert observation.ontime == 60


def test_azimuths_around_north_are_averaged_on_the_circle():
    content = combine([FIRST | {"obs__azimuth_deg": 359.0}, SECOND | {"obs__azimuth_deg": 3.0}])
    assert content["obs__azimuth_deg"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([], "holds no metadata"),
        ([FIRST, SECOND | {"instance__obs_id": 7}], "instance__obs_id: is 7"),
        ([FIRST, SECOND | {"obs__ra_deg": 1.0}], "obs__ra_deg"),
        ([FIRST, SECOND | {"obs__chunk": 1}], "chunk 1 is there twice"),
        ([FIRST, chunk(2, "2026-01-15T22:00:20")], "overlaps"),
    ],
)
def test_chunks_that_do_not_belong_together(chunks, message):
    with pytest.raises(InputError, match=message):
        combine(chunks)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("obs__start", None, "obs__start: is missing"),
        ("obs__start", "yesterday", "is no time"),
        ("obs__start", "2026-01-15T22:00:00+01:00", "time zone"),
        ("obs__end", "2026-01-15T21:00:00", "is not after obs__start"),
        ("obs__zenith_deg", "20", "no number in range"),
        ("obs__zenith_deg", 120.0, "no number in range"),
        ("obs__livetime_s", 61.0, "longer than obs__ontime_s"),
        ("obs__ontime_s", 70.0, "is not the length of the time intervals"),
        ("obs__triggers", 1.5, "not a whole number"),
        ("obs__object", "", "is no text"),
        ("obs__gti", "2026-01-15T22:00:00/2026-01-15T22:00:10", "ascending intervals"),
    ],
)
def test_wrong_metadata_name_the_key(key, value, message):
    content = observation_metadata(100)
    content = {k: v for k, v in (content | {key: value}).items() if v is not None}
    with pytest.raises(InputError, match=message):
        Observation.from_metadata(content, "OBS.json")
