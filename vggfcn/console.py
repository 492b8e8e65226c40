"""Where the command line writes: results to stdout, everything else to stderr."""

import os

from rich.console import Console

results = Console(soft_wrap=True, highlight=False)
# A stream of its own: what native libraries write to stderr while they load is silenced, messages are not.
messages = Console(file=os.fdopen(os.dup(2), "w"), soft_wrap=True, highlight=False)
