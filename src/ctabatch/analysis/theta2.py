"""Distribution of squared angular distances between events and target, summed over observations."""

from ctabatch.config.analysis import AnalysisRequest

#: Columns that add up over observations.
SUMMED = ("counts", "counts_off", "acceptance", "acceptance_off")


def add_theta2(total, observation, request: AnalysisRequest):
    """Add an observation to a table of theta squared.

    Parameters
    ----------
    total : astropy.table.Table or None
        Sum of earlier observations.
    observation : gammapy.data.Observation
        Observation; the off position is the target mirrored at the pointing.
    request : AnalysisRequest
        Target, energies and bins.

    Returns
    -------
    astropy.table.Table
        Edges in deg2, counts and acceptances.

    Raises
    ------
    ValueError
        The target is so near the pointing that on and off would overlap.
    """
    from gammapy.makers.utils import ThetaSquaredTable
    from gammapy.maps import MapAxis

    from ctabatch.analysis.select import sky_position

    wanted, reco = request.products.theta2, request.energy.reco
    axis = MapAxis.from_bounds(
        0, wanted.max.to_value("deg2"), wanted.bins, interp="lin", unit="deg2", name="theta_squared"
    )
    table = ThetaSquaredTable(
        [observation], axis, sky_position(request.target), energy_edges=[reco.min, reco.max]
    ).run()
    table.keep_columns(["theta2_min", "theta2_max", *SUMMED])
    table.meta.clear()
    return table if total is None else sum_theta2([total, table])


def sum_theta2(tables: list):
    """Add up tables with the same bins."""
    total = tables[0].copy()
    for table in tables[1:]:
        for name in SUMMED:
            total[name] = total[name] + table[name]
    return total


def finish_theta2(table):
    """Add excess, its errors and the significance of each bin to a summed table.

    The on and the mirrored off position have the same acceptance; the test statistic is that of
    Li and Ma (1983), by Gammapy's ``WStatCountsStatistic``.
    """
    from gammapy.stats import WStatCountsStatistic

    table = table.copy()
    table["alpha"] = table["acceptance"] / table["acceptance_off"]
    statistic = WStatCountsStatistic(table["counts"], table["counts_off"], table["alpha"])
    table["excess"] = statistic.n_sig
    table["excess_errn"] = statistic.compute_errn()
    table["excess_errp"] = statistic.compute_errp()
    table["sqrt_ts"] = statistic.sqrt_ts
    return table
