"""The ingestor, allowed to fetch from this machine: what stands for an archive in a test listens here."""

import sys
from functools import partial

from astrolens.cli.serve import serve
from astrolens.ingestor import main
from astrolens.ingestor.fetching import SafeFetcher

if __name__ == "__main__":
    main.SafeFetcher = partial(SafeFetcher, allow_loopback=True)  # type: ignore[assignment,misc]
    sys.exit(serve("ingestor"))
