"""Run the command line as `python -m asled_cli`."""

import sys

from asled_cli.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
