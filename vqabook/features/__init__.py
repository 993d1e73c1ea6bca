"""Region features: the store, its writers, extraction and conversion."""
