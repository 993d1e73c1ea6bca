"""What the loss does to visual question answering: models, losses, objectives, and the runs behind the book."""

__version__ = "0.2.0"
__released__ = "2026-11-29"  # that version
