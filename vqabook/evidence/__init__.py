"""Recorded runs: made or loaded, found again, made again and compared."""
