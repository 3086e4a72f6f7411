"""A registry that speaks the HTTP API of bilibili/discovery, for one service."""

import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Registry:
    """`Registry("infra.llm.index")`; it answers at `url` until it is lost. A `certificate` has its key beside it."""

    def __init__(self, appid, certificate=None):
        self.appid, self._addresses, self._version, self._lost = appid, [], 1, False
        self._changed = threading.Condition()
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                answer = registry._answer(url.path, query)
                body = json.dumps(answer).encode()
                try:
                    self.send_response(503 if answer is None else 200)
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except ConnectionError:
                    pass  # Who asked has gone.

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificate:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def set(self, *sims):
        """These model servers are the service from now on."""
        with self._changed:
            self._addresses = [f"http://127.0.0.1:{sim.port}" for sim in sims]
            self._version += 1
            self._changed.notify_all()

    def lose(self, lost=True):
        """Nobody gets an answer, until `lose(False)`."""
        with self._changed:
            self._lost = lost
            self._changed.notify_all()

    def stop(self):
        self.lose()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path, query):
        known = (query["appid"], query["env"]) == (self.appid, "prod")
        with self._changed:
            if path == "/discovery/polls":
                latest = int(query["latest_timestamp"])
                self._changed.wait_for(
                    lambda: self._lost or (known and self._version != latest), timeout=30
                )
                app = known and self._version != latest and self._addresses
                found = {"code": 0, "data": {self.appid: self._app()}} if app else {"code": -304}
            else:
                assert (path, query["status"]) == ("/discovery/fetch", "1")
                found = {"code": 0, "data": self._app()} if known and self._addresses else {"code": -404}
            return None if self._lost else found

    def _app(self):
        instances = [
            {
                "zone": "sh001",
                "env": "prod",
                "appid": self.appid,
                "hostname": address,
                "addrs": ["grpc://127.0.0.1:1", address],
                "status": 1,
                "metadata": {"weight": "10"},
                "latest_timestamp": self._version,
            }
            for address in self._addresses
        ]
        return {"instances": {"sh001": instances}, "latest_timestamp": self._version}
