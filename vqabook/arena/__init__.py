"""Which loss for my data: every long-tail rule as a linear classifier on anyone's features, by one protocol."""
