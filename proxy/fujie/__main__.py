"""`python -m fujie`, and the entry point of the installed command."""

import sys


def main() -> None:
    """Run the command line."""
    from fujie.app.cli import build

    build(sys.argv[1:])(prog_name="fujie")


if __name__ == "__main__":
    main()
