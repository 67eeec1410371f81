"""``python launch.py <argv>``: asks the kernel to end this process with its parent, then becomes `argv`.

Runs alone (``-I -S``, any Python 3.8 or later), so it imports nothing of the package. The parent may have died before
the request was in force; CELERY_HARNESS_PARENT (the pid that started us) tells.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
#: Once it has been needed: a fork that had to make it again would have a hundred pages copied (the explorer's children).
_libc = []  # type: ignore[var-annotated]
_EX_UNAVAILABLE = 69
_EX_NO_PROGRAM = 127


def die_with_parent(parent: int | None = None) -> bool:
    """SIGKILL for this process when the thread that forked it ends; False where the kernel has no such thing (not Linux).

    The setting survives exec and is cleared by fork. `parent`: exit at once when that is no longer our parent.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    if not _libc:
        _libc.append(ctypes.CDLL(None, use_errno=True))
    if _libc[0].prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        return False
    if parent is not None and os.getppid() != parent:
        os._exit(_EX_UNAVAILABLE)
    return True


def parent_from_environment() -> int | None:
    """The pid that started us, as it told; None: it did not."""
    text = os.environ.get("CELERY_HARNESS_PARENT", "")
    return int(text) if text.isdigit() else None


def become_user(text: str) -> None:
    """Give up root for 'uid:gid': some servers refuse to run as root. The kernel forgets a death signal when credentials change."""
    if text:
        uid, gid = (int(part) for part in text.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def main(argv: list[str]) -> None:
    """Never returns: becomes `argv`, or exits with 127 and a message."""
    if not argv:
        sys.stderr.write("usage: launch.py PROGRAM [ARGUMENT...]\n")
        sys.exit(2)
    import ctypes  # noqa: F401 (before root is given up: the standard library may be root's alone to read)

    become_user(os.environ.pop("CELERY_HARNESS_USER", ""))
    die_with_parent(parent_from_environment())
    try:
        os.execvp(argv[0], argv)
    except OSError as exc:
        sys.stderr.write(f"harness launcher: cannot start {argv[0]}: {exc.strerror}\n")
        sys.exit(_EX_NO_PROGRAM)


if __name__ == "__main__":
    main(sys.argv[1:])
