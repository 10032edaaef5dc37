"""A limit on processor time for each piece of work of a child process."""

import resource


def extend_cpu_limit(seconds: int) -> None:
    """Let this process use `seconds` more of processor time before the kernel ends it.

    The limit counts the whole life of a process, so it moves with what was used.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds + 1, resource.RLIM_INFINITY))
