"""Servers listen on the loopback interface instead of all of them.

Imported at each start of the environment's Python, by a .pth file beside it: DIRAC's services bind
to the empty address, and have no option for another.
"""

import socket

_bind = socket.socket.bind


def _bind_loopback(self, address):
    if isinstance(address, tuple) and address[0] in ("", "0.0.0.0", "::"):
        host = "::ffff:127.0.0.1" if self.family == socket.AF_INET6 else "127.0.0.1"
        address = (host, *address[1:])
    return _bind(self, address)


socket.socket.bind = _bind_loopback
