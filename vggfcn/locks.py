"""Locks on open files, which the system releases when their process ends, however it ends."""

try:
    import fcntl
except ImportError:  # Windows has no such locks.
    fcntl = None  # type: ignore[assignment]


def lock(file: int, *, wait: bool) -> bool:
    """Lock an open file or folder against other processes; False if the system or the disk has no such locks.

    Without `wait`, raises `BlockingIOError` if another process holds the lock.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:  # Some network disks have none.
        return False
    return True
