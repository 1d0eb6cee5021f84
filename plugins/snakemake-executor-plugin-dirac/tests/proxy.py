"""An HTTP proxy that loses answers or gives errors, as networks and front ends do."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlparse


class FaultyProxy:
    """Forwards requests; each rule (path, fault, count) strikes `count` requests of a path.

    Faults: ``lose`` forwards the request and drops the answer, a number answers that status
    without forwarding.
    """

    def __init__(self, target):
        self.rules = []
        self.requests = []
        proxy, upstream = self, urlparse(target)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                proxy.requests.append((self.command, self.path))
                fault = proxy.fault(self.path)
                if isinstance(fault, int):
                    return self.answer(fault, [], b'{"detail": "injected"}')
                link = http.client.HTTPConnection(upstream.hostname, upstream.port, timeout=60)
                headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
                link.request(self.command, self.path, body, headers)
                response = link.getresponse()
                content = response.read()
                if fault == "lose":
                    self.close_connection = True
                    return None
                return self.answer(response.status, response.getheaders(), content)

            def answer(self, status, headers, content):
                self.send_response_only(status)
                for key, value in headers:
                    if key.lower() not in ("transfer-encoding", "content-length", "connection"):
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_HEAD = do_PUT = handle_any  # noqa: N815

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def inject(self, path, fault, count=1):
        """Strike the next `count` requests whose path contains `path`."""
        self.rules.append([path, fault, count])

    def fault(self, path):
        for rule in self.rules:
            if rule[0] in path and rule[2] > 0:
                rule[2] -= 1
                return rule[1]
        return None

    def close(self):
        self.server.shutdown()
        self.server.server_close()
