"""The open simulator: approximate air showers and telescopes as a ctapipe event source.

Input is a run card (`ctabatch.simulation.card`), which describes a sample of showers completely;
`ctabatch.simulation.source` turns a run of it into events. See ``docs/simulator.md`` for the physics
and for how far it agrees with published instrument response functions.
"""

#: Stored as producer of every product that comes from this simulator.
PRODUCER_ID = "openiact"

#: What has to be said wherever its products are shown.
DISCLAIMER = (
    "Made with the open simulator 'openiact' of ctabatch: parametrised air showers and telescopes "
    "built from published parameters. Approximate, not an official CTAO product."
)
