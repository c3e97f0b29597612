"""Runs one server and ends it when whoever asked for it is gone, however that happened.

A script of its own (`python -I -S guard.py PARENT_PID TEMP_DIR COMMAND...`, standard library only), because a parent
that was killed cannot tidy up. It ends the server when standard input becomes readable: closed by the parent's death,
or a byte written by `Child.end`. Then it removes TEMP_DIR (empty: nothing to remove). The pid of the server is its only
line of output; its exit status is the server's.

Not left to the parent-death signal alone: macOS has none, and on Linux it fires when the *thread* that forked ends,
which for a loop in a worker thread is not the end of the program. Here the guard has one thread, so its own server may
use it.
"""

import os
import select
import signal
import sys
import time

GRACE_SECONDS = 3.0  # a server with an append-only file syncs it on SIGTERM
CHECK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """In the child, before exec: the kernel kills it should the parent itself be killed (Linux only)."""
    if not sys.platform.startswith("linux"):
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes: the pipe still guards the usual cases
    if os.getppid() != parent:
        os._exit(1)  # the parent died before the signal was asked for


def _spawn(command: list[str]) -> int:
    guard = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        die_with_parent(guard)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)  # never the pipe: its other end must be ours alone
        os.dup2(2, 1)
        os.execv(command[0], command)  # noqa: S606 - no shell wanted
    except OSError as error:
        os.write(2, f"cannot run {command[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _status(pid: int) -> int | None:
    """Exit status of the server (128 + signal as shells write it), None while it lives."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        return None
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _end(pid: int) -> int:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline:
        if (code := _status(pid)) is not None:
            return code
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 128 + signal.SIGKILL


def _remove(temp_dir: str) -> None:
    if temp_dir:
        import shutil

        shutil.rmtree(temp_dir, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Run the server until it or the parent ends."""
    parent, temp_dir, command = int(arguments[0]), arguments[1], arguments[2:]
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    server = _spawn(command)  # before our handlers, which would swallow a signal meant for it between fork and exec
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    # Who wants the guard to end closes the pipe.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    os.write(1, b"%d\n" % server)
    while (code := _status(server)) is None:
        readable, _, _ = select.select([0, woken], [], [], CHECK_SECONDS)
        if woken in readable:
            os.read(woken, 512)
        # The pipe stays open when the parent forked without exec and that child lives on: so look at the parent too.
        if 0 in readable or os.getppid() != parent:
            code = _end(server)
            _remove(temp_dir)
            break
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
