"""The embedded world: a generated VQA benchmark in the official formats."""
