"""Reduce a group of observations with Gammapy's workflow, one after the other.

Memory stays that of one observation and the stack; a bad observation is named, and does not take
the others with it unless the request says so.
"""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

from ctabatch.analysis.archive import pack, unpacked
from ctabatch.analysis.counts import finite, on_counts
from ctabatch.analysis.plan import observations_of, read_plan
from ctabatch.analysis.settings import (
    empty_stack,
    new_workflow,
    on_region,
    workflow_config,
    write_exclusion,
)
from ctabatch.analysis.theta2 import add_theta2
from ctabatch.analysis.transfer import FAILED
from ctabatch.config.analysis import AnalysisRequest
from ctabatch.errors import BatchError
from ctabatch.files import read_json, write_json

log = logging.getLogger(__name__)

#: Files of an archive of reduced observations.
SUMMARY, DATASETS, STACK, THETA2 = "group.json", "datasets.yaml", "stack.yaml", "theta2.ecsv"

_NEEDED = {"1d": ("aeff", "edisp"), "3d": ("aeff", "edisp", "psf", "bkg")}


class BadObservation(BatchError):  # noqa: N818 - what astronomers call it
    """An observation can't be used; the message says why."""


def reduce_group(plan_path: Path, group: int, archive: Path, output: Path) -> dict:
    """Reduce the observations of a group.

    Parameters
    ----------
    plan_path : pathlib.Path
        ``plan.json``.
    group : int
        Number of the group.
    archive : pathlib.Path
        Archive of `ctabatch.analysis.transfer.transfer`.
    output : pathlib.Path
        Archive to write: datasets in Gammapy's format, theta-squared table and ``group.json``.

    Returns
    -------
    dict
        Content of ``group.json``: ``observations`` with counts, and ``bad`` ones.

    Raises
    ------
    ctabatch.errors.BatchError
        An observation is bad and the request says to stop.
    """
    plan, request = read_plan(plan_path)
    entries = observations_of(plan, group)
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        unpacked(archive, near=output.parent) as files,
        TemporaryDirectory(prefix=".reduced.", dir=output.parent) as name,
    ):
        folder = Path(name)
        failed = read_json(files / FAILED)
        lost = {item["did"] for item in failed}
        reducer = Reducer(request, folder)
        bad = list(failed)
        for entry in entries:
            if entry["did"] in lost:
                continue
            try:
                reducer.add(entry, files)
            except BadObservation as error:
                if request.on_bad_observation == "stop":
                    raise BatchError(
                        f"observation {entry['obs_id']} ({entry['did']}): {error.message}",
                        "take it out, or set analysis.on_bad_observation to skip",
                    ) from None
                log.warning("left out: observation %s: %s", entry["obs_id"], error.message)
                bad.append(
                    {"did": entry["did"], "obs_id": entry["obs_id"], "reason": error.message}
                )
        content = {"observations": reducer.rows, "bad": bad, "notes": reducer.notes}
        reducer.write()
        write_json(folder / SUMMARY, content)
        pack(folder, output)
    return content


class Reducer:
    """Reduces observations and keeps what later steps need.

    Parameters
    ----------
    request : AnalysisRequest
        The request.
    folder : pathlib.Path
        Where datasets are written.
    """

    def __init__(self, request: AnalysisRequest, folder: Path):
        from gammapy.datasets import Datasets

        self.request, self.folder = request, folder
        self._scratch = TemporaryDirectory(prefix="ctabatch-")
        mask = write_exclusion(request, Path(self._scratch.name) / "exclusion.fits")
        self.workflow = new_workflow(workflow_config(request, exclusion=mask))
        self.stack = empty_stack(self.workflow) if request.dimension == "3d" else None
        self.single = Datasets()
        self.theta2 = None
        self.rows, self.notes = [], []

    def add(self, entry: dict, files: Path) -> None:
        """Reduce an observation of the plan.

        Raises
        ------
        BadObservation
            It can't be read, has no IRF, is pointed elsewhere, or has no off region.
        """
        observation = self._read(entry, files)
        dataset = self._reduce(observation)
        self.rows.append(_numbers(entry, dataset, self.request))
        name = f"obs-{entry['obs_id']}"
        products = self.request.products
        if self.request.dimension == "1d":
            self.single.append(dataset.copy(name=name))
        else:
            self.stack.stack(dataset)
            if products.light_curve:
                self.single.append(_cutout(dataset, self.request, name))
        if products.theta2:
            try:
                self.theta2 = add_theta2(self.theta2, observation, self.request)
            except ValueError as error:
                self.notes.append(f"{entry['obs_id']} not in theta2: {error}")

    def write(self) -> None:
        """Write datasets and table into the folder."""
        from gammapy.datasets import Datasets

        if self.stack is not None and self.rows:
            Datasets([self.stack]).write(self.folder / STACK, overwrite=True)
        if self.single:
            self.single.write(self.folder / DATASETS, overwrite=True)
        if self.theta2 is not None:
            self.theta2.write(self.folder / THETA2, format="ascii.ecsv", overwrite=True)

    def _read(self, entry: dict, files: Path):
        from gammapy.data import Observation

        irf = entry["irf"]
        irf_file = files / irf["did"].rsplit("/", 1)[1] if irf["source"] == "lake" else None
        try:
            observation = Observation.read(files / entry["file"], irf_file=irf_file)
            events = len(observation.events.table)
            pointing = observation.get_pointing_icrs(observation.tmid)
            available = set(observation.available_irfs)
        except Exception as error:  # any library's: the bytes can be anything
            reason = " ".join(str(error).split()) or "no reason given"
            raise BadObservation(f"can't be read: {type(error).__name__}: {reason}") from None
        if "events" in entry and events != entry["events"]:
            raise BadObservation(
                f"has {events} events in the file, {entry['events']} in its metadata"
            )
        needed = list(_NEEDED[self.request.dimension])
        if "aeff" in available and not observation.aeff.is_pointlike:
            needed.append("psf")  # how much of the source is in the on region
        missing = sorted({name for name in needed if name not in available})
        if missing:
            raise BadObservation(f"has no IRF: {', '.join(missing)} missing in the file")
        offset = pointing.separation(on_region(self.request).center)
        if offset > self.request.selection.offset_max * 1.001:
            # metadata and file differ; reducing it would cost gigabytes
            raise BadObservation(
                f"is pointed {offset.deg:.2f} deg from the target according to the file"
            )
        return observation

    def _reduce(self, observation):
        from gammapy.data import Observations

        self.workflow.config.datasets.containment_correction = not observation.aeff.is_pointlike
        self.workflow.observations = Observations([observation])
        try:
            self.workflow.get_datasets()
        except Exception as error:  # any library's: IRFs and events can hold anything
            reason = " ".join(str(error).split()) or "no reason given"
            raise BadObservation(f"can't be reduced: {type(error).__name__}: {reason}") from None
        datasets = [item for item in self.workflow.datasets if item is not None]
        wanted = self.request.background.reflected_regions_min
        regions = _off_regions(datasets[0]) if datasets and self.request.dimension == "1d" else 0
        if not datasets or (self.request.dimension == "1d" and regions < wanted):
            raise BadObservation(
                f"has no off region: {regions:.0f} reflected regions fit around the pointing, at "
                f"least {wanted} wanted"
            )
        return datasets[0]


def _off_regions(dataset) -> float:
    """Number of reflected regions of a 1-D dataset."""
    return float((dataset.acceptance_off.data / dataset.acceptance.data).max())


def _numbers(entry: dict, dataset, request: AnalysisRequest) -> dict:
    """Counts of an observation in the on region, within the safe range."""
    if request.dimension == "3d":
        dataset = dataset.to_spectrum_dataset(on_region(request), containment_correction=False)
    info = dataset.info_dict()
    row = {
        "obs_id": entry["obs_id"],
        "did": entry["did"],
        "offset_deg": entry["offset_deg"],
        "livetime_s": float(info["livetime"].to_value("s")),
        **on_counts(dataset),
    }
    if request.dimension == "1d":
        row |= {"counts_off": int(info["counts_off"]), "regions_off": _off_regions(dataset)}
    return {key: finite(value) for key, value in row.items()}


def _cutout(dataset, request: AnalysisRequest, name: str):
    """Keep the surroundings of the target, for the light curve."""
    width = request.products.light_curve.width
    return dataset.cutout(on_region(request).center, width=width, mode="trim", name=name)
