"""DL3 of observations: creation from DL2 events, verification, index files.

The format, GADF (https://gamma-astro-data-formats.readthedocs.io), is known here and nowhere else:
its successor VODF will change this package only. See ``docs/dl3.md``.
"""
