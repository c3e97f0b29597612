"""What the operating system says of this process, under the names that every Prometheus client uses."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["process_samples"]

_STATM = Path("/proc/self/statm")
_DESCRIPTORS = Path("/proc/self/fd")
_STARTED = time.time()  # of the module, which is milliseconds after that of the process


def process_samples() -> Iterator[tuple[str, float]]:
    """Yield names and values; memory and descriptors only where there is a /proc."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield "process_cpu_seconds_total", usage.ru_utime + usage.ru_stime
    yield "process_start_time_seconds", _STARTED
    yield "process_max_fds", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if sys.platform.startswith("linux"):
        yield "process_resident_memory_bytes", int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        yield "process_open_fds", len(os.listdir(_DESCRIPTORS))  # noqa: PTH208 - no objects for what is only counted
