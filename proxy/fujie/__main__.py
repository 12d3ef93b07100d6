"""`python -m fujie`, and the entry point of the installed command."""

import errno
import os
import sys

_INTERRUPTED = 130
"""What a shell makes of a program that SIGINT ended."""

_OF_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE}


def main() -> None:
    """Run the command line. Ctrl-C, and output that nobody takes (a full disk), end it in one line."""
    try:
        from fujie.app.cli import build

        try:
            build(sys.argv[1:])(prog_name="fujie")
        finally:
            if sys.stdout is not None:  # as Python has it where nobody opened one (`>&-`)
                sys.stdout.flush()
    except KeyboardInterrupt:  # before the command line has begun to listen for it
        sys.exit(_INTERRUPTED)
    except OSError as error:
        if error.filename is not None or error.errno not in _OF_OUTPUT:  # nobody foresaw it
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left would fail once more at the end
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"OUTPUT_FAILED: {error.strerror}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
