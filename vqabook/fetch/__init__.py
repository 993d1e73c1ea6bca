"""Data sets come in: the manifest, their sources, downloads and archives, all verified."""
