"""From records to numbers, verdicts, tables, figures and the ledger; no torch."""
