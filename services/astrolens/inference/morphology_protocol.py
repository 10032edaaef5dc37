"""How the analyzer and the process that measures morphology speak.

A request is two lengths (`LENGTHS`), options as JSON, and a JPEG; a reply is a length and a `Morphology` as JSON. What
measures is imported in that process only.
"""

import struct
from typing import Final

LENGTHS: Final = struct.Struct(">II")
"""In front of a request: bytes of the options and of the picture."""
LENGTH: Final = struct.Struct(">I")
"""In front of a reply. The first reply is empty: the process is ready."""
