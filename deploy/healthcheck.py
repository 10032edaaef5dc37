"""Asks the service of this container whether it is well: `healthcheck.py /livez` or `/readyz`; exit code 0 is yes.

Standard library only: it runs every few seconds, and importing the package would cost more than the answer.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException
from typing import Final

PORTS: Final = {
    "console": ("ASTROLENS_PORT", 8080),
    "ingestor": ("ASTROLENS_INGESTOR_PORT", 8082),
    "analyzer": ("ASTROLENS_ANALYZER_PORT", 8083),
    "model-server": ("ASTROLENS_MODEL_SERVER_PORT", 8084),
    "crossref": ("ASTROLENS_CROSSREF_PORT", 8086),
    "trainer": ("ASTROLENS_TRAINER_PORT", 8087),
    "notifier": ("ASTROLENS_NOTIFIER_PORT", 8085),
}
"""Variable and default of each service's HTTP port."""

_TIMEOUT_S = 4.0


def main() -> int:
    """Ask once; say on standard output what is wrong."""
    path = sys.argv[1] if len(sys.argv) > 1 else "/livez"
    variable, default = PORTS[os.environ["ASTROLENS_SERVICE"]]
    connection = HTTPConnection("127.0.0.1", int(os.environ.get(variable) or default), timeout=_TIMEOUT_S)
    try:
        # With the token the answer says what is wrong, for `docker inspect`; without it only whether something is.
        token = os.environ.get("ASTROLENS_METRICS_TOKEN")
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        body = answer.read(1000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"{path}: no answer ({error})\n")
        return 1
    finally:
        connection.close()
    sys.stdout.write(f"{path}: {answer.status} {body}\n")
    return 0 if answer.status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
