"""Throw showers with CHASM and write them in CORSIKA's IACT format; runs inside the image.

    program.py CARD OUT

The longitudinal profile of each shower is Greisen's for electromagnetic showers (K. Greisen,
Prog. Cosmic Ray Phys. 3 (1956) 1); CHASM gives the Cherenkov light at the detectors.
"""

import json
import math
import sys
from dataclasses import fields
from pathlib import Path

import CHASM
import numpy as np
from CHASM import write_eventio as iact
from CHASM.axis import Attenuation
from CHASM.eventio_types import Float, String

RADIATION_LENGTH = 36.62  # g / cm2, air
CRITICAL_ENERGY = 0.085  # GeV, air
PARTICLES = {"gamma": 1, "electron": 3}
HEADER = ("RunHeader", "InputCard", "AtmosphericProfile", "TelescopeDefinition")
EVENT = ("EventHeader", "ArrayOffsets", "Longitudinal", "TelescopeData", "EventEnd")


def greisen(energy, depth):
    """Number of charged particles of a shower of `energy` (GeV) at `depth` (g / cm2)."""
    y0 = math.log(energy / CRITICAL_ENERGY)
    t = np.maximum(depth, 1e-3) / RADIATION_LENGTH
    s = 3 * t / (t + 2 * y0)
    return 0.31 / math.sqrt(y0) * np.exp(t * (1 - 1.5 * np.log(s)))


def draw_energy(generator, low, high, index):
    """Draw from a power law with signed `index` between `low` and `high`."""
    u = generator.random()
    if low == high:
        return low
    if index == -1:
        return low * (high / low) ** u
    power = index + 1
    return (low**power + u * (high**power - low**power)) ** (1 / power)


def block(kind, data):
    """Bytes of one eventio object."""
    content = iact.block_to_bytes(data)
    return iact.object_header_bytes(iact.IACT_TYPES[kind], len(content)) + content


def setting(data, **values):
    """Set numbers of a header, each in the type that the format wants."""
    known = {field.name for field in fields(data)}
    for name, value in values.items():
        assert name in known, name
        setattr(data, name, Float(float(value)))
    return data


def absorb(signal, observation_level):
    """Take out the light that the air absorbs between its source and the detectors.

    CHASM 1.0 can do that itself only for detectors at sea level; its table of optical depths,
    counted from sea level, holds for any height.
    """
    height = signal.source_points[:, 2] + observation_level
    path = 1 / np.sqrt(np.maximum(1 - signal.cx**2 - signal.cy**2, 1e-4))
    for i, wavelength in enumerate(signal.wavelengths):
        depths = Attenuation.ecoeff[np.abs(wavelength - Attenuation.l_list).argmin()]
        depth = np.interp(height, Attenuation.altitude_list, depths)
        below = np.interp(observation_level, Attenuation.altitude_list, depths)
        signal.photons[:, i, :] *= np.exp(-(depth - below) * path)
    return signal


def shower(card, generator):
    """Simulate one shower; returns energy, direction (rad), core (m) and CHASM's signal."""
    energy = draw_energy(generator, *card["energy"], card["spectral_index"])
    low, high = np.cos(np.radians(card["zenith"]))
    zenith = math.acos(low + generator.random() * (high - low))
    azimuth = math.radians(generator.uniform(*card["azimuth"]))
    radius = card["scatter_radius"] * math.sqrt(generator.random())
    angle = generator.uniform(0, 2 * math.pi)
    core = np.array([radius * math.cos(angle), radius * math.sin(angle), 0.0])
    # CHASM's origin is where the axis meets the ground: move the detectors instead of the core.
    vectors = np.array(card["positions"], dtype=float) - core
    depth = np.linspace(1.0, 3000.0, 1500)
    simulation = CHASM.ShowerSimulation()
    simulation.add(
        CHASM.DownwardAxis(zenith, azimuth, ground_level=card["observation_level"], curved=False)
    )
    simulation.add(CHASM.UserShower(depth, greisen(energy, depth)))
    simulation.add(CHASM.SphericalCounters(vectors, np.array(card["radii"], dtype=float)))
    simulation.add(CHASM.Yield(*card["wavelength"], N_bins=5))
    signal = absorb(simulation.run(mesh=False, att=False), card["observation_level"])
    return energy, zenith, azimuth, core, signal


def main(card_path, out):
    """Run all showers of a card."""
    card = json.loads(Path(card_path).read_text())
    generator = np.random.default_rng(card["seeds"])
    # CHASM spreads photons over the spheres with NumPy's global generator.
    np.random.seed(card["seeds"][0] % 2**32)
    name = Path(out) / f"run{card['run']:06d}.corsika"
    summary = []
    with name.open("wb") as stream:
        for number in range(1, card["showers"] + 1):
            energy, zenith, azimuth, core, signal = shower(card, generator)
            data = iact.create_data_blocks(signal)
            if number == 1:
                levels = [Float(card["observation_level"] * 100)] * 10
                data["TelescopeDefinition"].tel_array = np.append(
                    np.array(card["positions"], dtype=np.float32).T.flatten() * 100,
                    np.array(card["radii"], dtype=np.float32) * 100,
                ).astype(np.float32)
                header = setting(
                    data["RunHeader"],
                    run_no=card["run"],
                    e_slope=card["spectral_index"],
                    e_low=card["energy"][0],
                    e_high=card["energy"][1],
                    n_showers=card["showers"],
                )
                header.obs_levels = levels
                data["InputCard"].lines = [String(json.dumps(card))]
                for kind in HEADER:
                    stream.write(block(kind, data[kind]))
            event = setting(
                data["EventHeader"],
                evno=number,
                p_id=PARTICLES[card["primary"]],
                total_energy=energy,
                zenith=zenith,
                azimuth=azimuth,
                run_number=card["run"],
                e_slope=card["spectral_index"],
                e_low=card["energy"][0],
                e_high=card["energy"][1],
                cherenkov_wavelength_min=card["wavelength"][0],
                cherenkov_wavelength_max=card["wavelength"][1],
            )
            event.obs_levels = levels
            setting(data["ArrayOffsets"], x_offset=-core[0] * 100, y_offset=-core[1] * 100)
            setting(data["EventEnd"], evt_no=number, n_photons=signal.photons.sum())
            for kind in EVENT:
                stream.write(block(kind, data[kind]))
            summary.append({"energy_gev": energy, "photons": float(signal.photons.sum())})
        stream.write(block("RunEnd", data["RunEnd"]))
    (Path(out) / "showers.json").write_text(json.dumps(summary, indent=1) + "\n")
    print(f"{len(summary)} showers, {sum(item['photons'] for item in summary):.4g} photons")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
