"""`python -m chainrule_server.replay`: what `chainrule replay` runs."""

import sys

from chainrule_server.replay.replaying import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
