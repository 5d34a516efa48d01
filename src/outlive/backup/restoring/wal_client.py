"""`restore_command`: asks the restore that is under way for one file of WAL.

Run as a script without site packages, as it is started once a segment. Ends with ABSENT only where the archive has no
such file; the shell line in `wal_server.restore_command` turns that into 1 and everything else into a number above 125,
with which PostgreSQL gives up instead of ending recovery early.
Source: PostgreSQL documentation, `restore_command`.
"""

import socket
import sys
from pathlib import Path

ABSENT = 99
FAILED = 98
ANSWER_LIMIT_S = 900.0


def main(address: str, name: str, target: str) -> int:
    """Fetch the file `name` into `target`; the exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_LIMIT_S)
        connection.connect(address)
        connection.sendall(name.encode() + b"\n")
        with connection.makefile("rb") as answer:
            word, _, rest = answer.readline().decode().strip().partition(" ")
            if word == "absent":
                return ABSENT
            if word != "size":
                sys.stderr.write(f"outlive: {name}: {rest}\n")
                return FAILED
            content = answer.read(int(rest))
    if len(content) != int(rest):
        sys.stderr.write(f"outlive: {name}: the restore ended before the file was whole\n")
        return FAILED
    Path(target).write_bytes(content)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Exception as error:  # whatever it is, it is not "not found"
        sys.stderr.write(f"outlive: {error}\n")
        sys.exit(FAILED)
