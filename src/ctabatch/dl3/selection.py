"""Event selection: the quality criteria and cuts that the IRF was made with, and no others."""

import operator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ctabatch.config.load import read_yaml
from ctabatch.errors import InputError

#: Columns of an event that DL3 needs besides those that the preprocessor renames.
FIXED_COLUMNS = ("obs_id", "event_id", "time")


@dataclass(frozen=True)
class Selection:
    """Criteria and cuts of one IRF production.

    Parameters
    ----------
    preprocessor : ctapipe.io.dl2_tables_preprocessing.DL2EventPreprocessor
        Quality criteria and names of columns, from the configuration of ``ctapipe-compute-irf``.
    cuts : ctapipe.irf.OptimizationResult
        Cuts by energy.
    """

    preprocessor: object
    cuts: object

    def apply(self, events):
        """Select events and give their columns the names of the IRF's configuration.

        The steps are those of ``ctapipe-compute-irf``: quality criteria, the cut on the classifier's
        score by energy, the cut on the number of telescopes by energy where the cuts have one. There
        is no cut on the direction: DL3 and IRF are full-enclosure.

        Parameters
        ----------
        events : astropy.table.Table
            Subarray events of a DL2 file, as `ctapipe.io.TableLoader` reads them.

        Returns
        -------
        astropy.table.QTable
            ``obs_id, event_id, time, reco_energy, reco_alt, reco_az, gh_score, multiplicity``.

        Raises
        ------
        ctabatch.errors.InputError
            The events lack a column.
        """
        from pyirf.cuts import evaluate_binned_cut

        self._require(events)
        good = events[self.preprocessor.quality_query.get_table_mask(events)]
        selected = self.preprocessor.normalise_column_names(good)
        selected["multiplicity"] = self._multiplicity(selected)
        keep = evaluate_binned_cut(
            selected["gh_score"], selected["reco_energy"], self.cuts.gh_cuts, operator.ge
        )
        if self.cuts.multiplicity_cuts is not None:
            keep &= evaluate_binned_cut(
                selected["multiplicity"],
                selected["reco_energy"],
                self.cuts.multiplicity_cuts,
                operator.ge,
            )
        return selected[keep]

    def _prefixes(self):
        names = self.preprocessor
        return names.energy_reconstructor, names.geometry_reconstructor, names.gammaness_classifier

    def _multiplicity(self, events):
        """Count the telescopes of an event as ctapipe does: the least of the three reconstructions."""
        numbers = []
        for prefix in self._prefixes():
            numbers.append(np.count_nonzero(events[f"{prefix}_telescopes"], axis=1))
            events.remove_column(f"{prefix}_telescopes")
        return np.min(numbers, axis=0)

    def _require(self, events):
        energy, geometry, classifier = self._prefixes()
        wanted = [
            *FIXED_COLUMNS,
            f"{energy}_energy",
            f"{geometry}_alt",
            f"{geometry}_az",
            f"{classifier}_prediction",
            *(f"{prefix}_telescopes" for prefix in self._prefixes()),
        ]
        missing = [name for name in wanted if name not in events.colnames]
        if missing:
            raise InputError(
                f"no column {missing[0]!r}",
                allowed="DL2 to which the models of the IRF were applied",
            )


def read_selection(cuts_path: Path, config_path: Path) -> Selection:
    """Read the event selection of an IRF production.

    Parameters
    ----------
    cuts_path : pathlib.Path
        ``cuts.fits`` of ``ctapipe-optimize-event-selection``.
    config_path : pathlib.Path
        YAML configuration of ``ctapipe-compute-irf``; its `DL2EventPreprocessor` counts.

    Raises
    ------
    ctabatch.errors.InputError
        A file is absent or unreadable, or the two do not belong together: another classifier or
        other quality criteria.
    """
    from astropy.table import Column
    from ctapipe.io.dl2_tables_preprocessing import DL2EventPreprocessor
    from ctapipe.irf import OptimizationResult
    from traitlets import TraitError
    from traitlets.config import Config

    content = Config(read_yaml(Path(config_path), aliases=True))
    try:
        cuts = OptimizationResult.read(cuts_path)
    except FileNotFoundError:
        raise InputError("no such file", str(cuts_path)) from None
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        text = " ".join(str(error).split())
        raise InputError(
            f"is no file of cuts ({text})", str(cuts_path), "ctapipe-optimize-event-selection's"
        ) from None
    try:
        preprocessor = DL2EventPreprocessor(config=content)
        names = {
            key: value
            for key, value in preprocessor.columns_to_rename.items()
            if not value.startswith("pointing")
        }
        # The pointing of an observation moves; it comes from the metadata, not from this table.
        preprocessor.allow_unsupported_pointing_frames = True
        preprocessor.columns_to_rename = names
        preprocessor.output_table_schema = [Column(name=name) for name in FIXED_COLUMNS]
    except TraitError as error:
        text = " ".join(str(error).split())
        raise InputError(text, f"{config_path}: DL2EventPreprocessor") from None
    if preprocessor.gammaness_classifier != cuts.clf_prefix:
        raise InputError(
            f"cuts on the score of {cuts.clf_prefix!r}, but the configuration names "
            f"{preprocessor.gammaness_classifier!r}",
            str(cuts_path),
            "cuts and configuration of the same IRF production",
        )
    wanted = _criteria(preprocessor.quality_query)
    used = _criteria(cuts.quality_query)
    if wanted != used:
        raise InputError(
            f"quality criteria {_show(wanted)} differ from those of {cuts_path}, {_show(used)}",
            f"{config_path}: DL2EventPreprocessor.DL2EventQualityQuery.quality_criteria",
            "cuts and configuration of the same IRF production",
        )
    return Selection(preprocessor, cuts)


def _criteria(query):
    return [(name, text) for name, text in query.quality_criteria if (name, text) != (" ", " ")]


def _show(criteria):
    return "[" + ", ".join(text for _, text in criteria) + "]"
