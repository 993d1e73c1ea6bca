"""`python -m vqabook`: the command line."""

from vqabook.cli import main

if __name__ == "__main__":
    main()
