"""`python -m vqabook`: the command line."""

from vqabook.cli import main

main()
