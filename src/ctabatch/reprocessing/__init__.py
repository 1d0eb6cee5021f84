"""Reprocessing of observations: DL0 from the data lake to verified DL3 in the data lake."""
