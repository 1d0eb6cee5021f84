"""Files of sim_telarray go through the same rule as runs of the open simulator."""

import shutil

import pytest
import yaml

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.fixture(scope="module")
def licensed(new_checkout):
    """A checkout whose request names the licensed chain."""
    checkout = new_checkout()
    content = yaml.safe_load((checkout.folder / "config/test/irf.yaml").read_text())
    content["irf"]["model"] = {
        "simulator": "corsika-simtel",
        "version": "7.7500",
        "high_energy_interaction": "QGSJETIII",
        "low_energy_interaction": "URQMD",
        "container": "images/corsika-simtel.sif",
    }
    (checkout.folder / "licensed.yaml").write_text(yaml.safe_dump(content))
    checkout.snakemake("irf_plan", config="licensed.yaml")
    return checkout


def test_real_events_pass_the_process_rule(licensed, test_data):
    folder = licensed.folder / "results/irf/small/simtel/nominal_gamma_irf"
    folder.mkdir(parents=True)
    shutil.copy(
        test_data / "simtel/gamma_prod6_tel_event_header_v4.simtel.zst", folder / "1.simtel.zst"
    )
    target = "results/irf/small/runs/nominal_gamma_irf/1.dl2.h5"
    licensed.snakemake(target, "--notemp", "--allowed-rules", "irf_process", config="licensed.yaml")
    import tables

    with tables.open_file(licensed.folder / target) as file:
        events = file.root.dl2.event.subarray.geometry.HillasReconstructor
        assert len(events) > 0
        assert len(file.root.dl1.event.telescope.parameters._v_children) > 0


def test_command_lines_of_the_licensed_chain(licensed):
    # without the profile: its logger leaves out the commands of a dry run
    dry = ["--dry-run", "--printshellcmds", "--cores", "1", "--configfile", "licensed.yaml"]
    done = licensed.run("snakemake", "irf", *dry)
    text = done.stdout + done.stderr
    assert "run-corsika" in text
    assert "run-simtel -C telescope_zenith_angle=20" in text
    assert "--SimTelEventSource.skip_calibration_events=True" in text


def test_corsika_card_of_a_run(licensed):
    target = "results/irf/small/corsika/nominal_gamma_irf/2.card"
    licensed.snakemake(target, config="licensed.yaml")
    lines = (licensed.folder / target).read_text().splitlines()
    card = dict(line.split(maxsplit=1) for line in lines if " " in line)
    assert card["RUNNR"].strip() == "2"
    assert card["PRMPAR"].strip() == "1"
    assert card["ERANGE"].split() == ["500", "20000"]
    assert card["PHIP"].split()[0] == "0.0000"
    assert sum(line.startswith("SEED") for line in lines) == 4
    assert sum(line.startswith("TELESCOPE") for line in lines) == 13
