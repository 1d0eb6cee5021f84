"""The data lake: search, stage, fetch and ingest behind one interface."""
