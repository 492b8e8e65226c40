"""Python code run in an empty home folder, and every contact with another machine that it tries: noted and refused.

An audit hook sees what Python's own `socket` is asked for, in every Python process that the program starts. Where
strace may be used, it also sees what libraries in C do.
"""

import contextlib
import functools
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys

from paths import ROOT

# Python imports this module when it starts.
GUARD = """
import ipaddress, os, sys

def is_here(host):
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return True
    try:
        return (address := ipaddress.ip_address(host)).is_loopback or address.is_unspecified
    except ValueError:
        return False

def guard(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not is_here(host):
        with open(os.environ["CONTACTS"], "a") as file:
            print(event, host, file=file)
        raise OSError(f"no contact: {event} {host}")

sys.addaudithook(guard)
"""
# Libraries in C read /etc/resolv.conf to look up a name.
_TRACE = ("strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect,sendto,sendmsg,sendmmsg,openat", "-o")
_NATIVE = re.compile(r'inet_addr\("([\d.]+)"\)|inet_pton\(AF_INET6, "([\da-f:.]+)"|"(/etc/resolv\.conf)"')


@functools.cache
def can_trace():
    """Whether strace is there and allowed."""
    command = [*_TRACE, os.devnull, "true"]
    return shutil.which("strace") is not None and subprocess.run(command, capture_output=True).returncode == 0


@contextlib.contextmanager
def watched(folder, code):
    """Python code as a process in `folder`, without this process's environment; killed at the end."""
    (folder / "guard").mkdir()
    (folder / "guard" / "sitecustomize.py").write_text(GUARD)
    (folder / "home").mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder),
        "CONTACTS": str(folder / "contacts"),
        "PYTHONPATH": os.pathsep.join([str(folder / "guard"), str(ROOT)]),
    }
    trace = [*_TRACE, folder / "trace"] if can_trace() else []
    process = subprocess.Popen(
        [*trace, sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # A signal to strace alone does not reach the program.
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def run_watched(folder, code):
    """Run Python code to its end."""
    with watched(folder, code) as process:
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out


def contacts(folder):
    """The contacts that were tried: what Python was asked for, then addresses and files from C."""
    asked = folder / "contacts"
    trace = folder / "trace"
    found = asked.read_text().splitlines() if asked.exists() else []
    for match in _NATIVE.finditer(trace.read_text(errors="replace") if trace.exists() else ""):
        address = match[1] or match[2]
        if not address or not ipaddress.ip_address(address).is_loopback:
            found.append(match[1] or match[2] or match[3])
    return found


def files_at_home(folder):
    """The files below the home folder, by their paths in it."""
    home = folder / "home"
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if not path.is_dir())
