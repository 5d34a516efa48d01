"""PostgreSQL's `archive_command`: asks the node's archiver for one file of pg_wal, and ends with 0 once it is durable.

    python3 -ISs archive_client.py SOCKET NAME

PostgreSQL starts this for every segment, so it imports nothing that is not built in: a whole push is a few
milliseconds of it. SOCKET is a name in Linux' abstract namespace, which has no permissions; so each side asks the
kernel who the other one is. Whatever is not a clear "ok" ends with 1, and PostgreSQL keeps the file and asks again.
"""

# The module that `socket` wraps: it alone is built in, and halves the time that this program takes.
import _socket
import os
import sys

LIMIT_S = 90.0
"""Longer than the archiver ever takes to say no."""
LOOK_UP_S = 0.1
"""How soon a client whose PostgreSQL was killed notices that nobody waits for it."""
_TAKEN = (os.geteuid(), 0)


def ask(name: str, wanted: str) -> str:
    """What the archiver at the abstract socket `name` says of the file `wanted`: empty if it is durable.

    Raises:
        OSError: nobody answers there, or somebody who is neither this account nor root.
    """
    with_archiver = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    with_archiver.settimeout(LOOK_UP_S)
    with_archiver.connect("\0" + name)
    credentials = with_archiver.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    if int.from_bytes(credentials[4:8], sys.byteorder) not in _TAKEN:
        raise OSError("the archiver's socket is held by another account")
    with_archiver.send(f"push {wanted}\n".encode())
    return _answer(with_archiver)


def _answer(with_archiver: _socket.socket) -> str:
    parent, said = os.getppid(), b""
    for _ in range(int(LIMIT_S / LOOK_UP_S)):
        try:
            more = with_archiver.recv(4096)
        except TimeoutError:
            if os.getppid() != parent:
                return "PostgreSQL is gone"
            continue
        said += more
        if not more or said.endswith(b"\n"):
            return "" if said == b"ok\n" else said.decode(errors="replace").strip() or "the archiver ended meanwhile"
    return f"no answer within {LIMIT_S:.0f} s"


def main() -> int:
    """0 when the file is durable, else 1; never more than 125, which would end PostgreSQL's archiver process."""
    try:
        refused = ask(sys.argv[1], sys.argv[2])
    except OSError as error:
        refused = f"the archiver does not answer: {error}"
    if refused:
        sys.stderr.write(f"outlive: {sys.argv[2]} is not archived: {refused}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
