"""`python -m chainrule.cli`, where the console script isn't on the path."""

import sys

from chainrule.cli.entry import main

if __name__ == "__main__":
    sys.exit(main())
