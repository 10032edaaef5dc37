"""Returns freed memory to the operating system."""

import ctypes


def release_free_memory() -> None:
    """Release what the growing lists of an index have left behind in the heap; it takes some milliseconds.

    glibc keeps freed blocks between blocks in use: after growing to a million images, an eighth of the process's
    memory. Other C libraries have no `malloc_trim`; there this does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
