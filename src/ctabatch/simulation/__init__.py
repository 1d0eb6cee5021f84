"""The open simulator: approximate air showers and telescopes as a ctapipe event source."""
