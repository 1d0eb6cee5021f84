"""Checks of the file: HDUs, schema, Gammapy's checkers, checksums."""

import warnings
from types import SimpleNamespace

from astropy.io import fits

from ctabatch.checks import Failed, Skipped, schema_fault
from ctabatch.dl3.verification.subject import Subject
from ctabatch.sky import earth_orientation

#: Kinds of response that a DL3 file must hold, by HDUCLAS2.
RESPONSES = {
    "effective area": ("EFF_AREA",),
    "energy dispersion": ("EDISP",),
    "point spread function": ("RPSF", "PSF"),
    "background": ("BKG",),
}


def checksum(subject: Subject):
    """Every HDU has a checksum, and it holds."""
    if subject.faults:
        raise Failed(subject.faults[0], faults=list(subject.faults))
    bare = [
        hdu.name or "PRIMARY"
        for hdu in subject.hdus
        if "CHECKSUM" not in hdu.header or "DATASUM" not in hdu.header
    ]
    if bare:
        raise Failed(f"HDU {bare[0]} has no checksum", hdus=bare)
    return f"checksums of {len(subject.hdus)} HDUs hold", {}


def components(subject: Subject):
    """Events, GTIs, pointing and one complete response are there, each once."""
    tables = [hdu for hdu in subject.hdus if isinstance(hdu, fits.BinTableHDU)]
    problems = []
    for name in ("EVENTS", "GTI", "POINTING"):
        number = sum(hdu.name == name for hdu in tables)
        if number != 1:
            problems.append(f"{number} tables {name}")
    for title, classes in RESPONSES.items():
        number = sum(hdu.header.get("HDUCLAS2") in classes for hdu in tables)
        if number != 1:
            problems.append(f"{number} HDUs with the {title}")
    if problems:
        raise Failed(f"{', '.join(problems)}; each should be there once", problems=problems)
    return "events, GTIs, pointing and four responses", {"hdus": [hdu.name for hdu in tables]}


def gadf_schema(subject: Subject):
    """Events, GTIs and responses follow the GADF format (version 0.2)."""
    import ogadf_schema.events as events
    import ogadf_schema.irfs as irfs

    faults, checked = {}, []
    for hdu in subject.hdus:
        name, header = hdu.name, hdu.header
        if not isinstance(hdu, fits.BinTableHDU) or name == "POINTING":
            continue  # the schema does not know POINTING
        if name in ("EVENTS", "GTI"):
            schema = getattr(events, name)
        elif header.get("HDUCLAS1") == "RESPONSE":
            schema = getattr(irfs, header.get("HDUCLAS4", ""), None)
        else:
            continue
        checked.append(name)
        if schema is None:
            faults[name] = f"HDUCLAS4 = {header.get('HDUCLAS4')!r} is not in the schema"
            continue
        if fault := schema_fault(schema, hdu):
            faults[name] = fault
    if faults:
        name, reason = next(iter(faults.items()))
        raise Failed(f"HDU {name}: {reason}", faults=faults)
    if not checked:
        raise Failed("no table that the schema knows")
    return f"{', '.join(checked)} follow the schema", {"hdus": checked}


def gammapy(subject: Subject):
    """Gammapy opens the observation, and its checkers report neither error nor warning."""
    from gammapy.data import Observation

    subject.table("EVENTS")
    try:
        with warnings.catch_warnings(), earth_orientation():
            warnings.simplefilter("ignore")
            observation = Observation.read(subject.path)
            response = [n for n in ("aeff", "edisp", "psf", "bkg") if getattr(observation, n)]
            records = list(_gammapy_records(subject, observation, response))
    except Exception as error:  # whatever the library raises is the finding
        text = " ".join(str(error).split()) or type(error).__name__
        raise Failed(f"Gammapy can't open the file: {text}") from None
    found = [item["msg"] for item in records if item["level"] in ("error", "warning")]
    if found:
        raise Failed(f"Gammapy's checkers: {'; '.join(found)}", findings=found)
    if len(response) != 4:
        raise Failed(f"Gammapy finds no response but {', '.join(response) or 'none'}")
    return "Gammapy's checkers have nothing to report", {"response": response}


def _gammapy_records(subject, observation, response):
    """Run Gammapy's checkers.

    Gammapy 2.1 turns the column TIME into times, and its check of columns then asks these for a
    unit: that check gets the table as it stands in the file.
    """
    from astropy.table import Table
    from gammapy.data.event_list import EventListChecker
    from gammapy.data.observations import ObservationChecker

    yield from ObservationChecker(observation).run(
        ["gti", *(name for name in ("aeff", "edisp", "psf") if name in response)]
    )
    plain = SimpleNamespace(table=Table.read(subject.table("EVENTS")))
    yield from EventListChecker(plain).run(["meta", "columns"])
    number = len(observation.events.table)
    if number:
        checks = ["coordinates_galactic", "coordinates_altaz"]
        # it compares neighbours
        yield from EventListChecker(observation.events).run(checks + ["times"] * (number > 1))


def producer(subject: Subject):
    """The file says what made it, and the sidecar beside it belongs to it."""
    from ctabatch.errors import BatchError
    from ctabatch.lake.metadata import read_sidecar, sidecar_of

    for key in ("CREATOR", "ORIGIN", "TELESCOP", "INSTRUME"):
        if not str(subject.header.get(key, "")).strip():
            raise Failed(f"the events' header has no {key}")
    if not sidecar_of(subject.path).is_file():
        raise Skipped("no sidecar beside the file")
    try:
        metadata = read_sidecar(subject.path)
    except BatchError as error:
        raise Failed(str(error)) from None
    obs_id = metadata.product.instance.obs_id
    if obs_id != subject.card("OBS_ID", int):
        raise Failed(f"the sidecar is of observation {obs_id}")
    return f"made by {subject.header['CREATOR']}; the sidecar belongs to the file", {}
