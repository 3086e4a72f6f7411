"""A REST API for MCP tools: it says what it was asked, and misbehaves on request."""

import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class RestApi:
    """Serves until `stop`; `requests` has what came."""

    def __init__(self):
        self.requests = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.requests))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def _handler(requests):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length).decode() if length else ""
            url = urlsplit(self.path)
            query = parse_qsl(url.query, keep_blank_values=True)
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append({"method": self.command, "path": self.path, "headers": headers, "body": body})
            act = getattr(self, "act_" + url.path.strip("/").split("/")[0], None)
            if act:
                return act(dict(query))
            self.answer(200, json.dumps({"path": url.path, "query": query, "body": body}).encode())

        do_POST = do_PUT = do_DELETE = do_GET

        def act_status(self, query):
            self.answer(int(query["code"]), b"the reason")

        def act_slow(self, query):
            time.sleep(float(query["seconds"]))
            self.answer(200, b'"slept"')

        def act_latin(self, query):
            self.answer(200, b"caf\xe9", "text/plain")

        def act_image(self, query):
            self.answer(200, b"\x89PNG", "image/png")

        def act_audio(self, query):
            self.answer(200, b"RIFF", "audio/wav")

        def act_big(self, query):
            size = int(query["bytes"])
            self.send_response(200)
            self.send_header("content-length", str(size))
            self.end_headers()
            try:
                for _ in range(size // 65536):
                    self.wfile.write(b"x" * 65536)
            except OSError:
                self.close_connection = True

        def act_reset(self, query):
            self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            self.wfile.flush()
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True

        def answer(self, status, body, media="application/json"):
            self.send_response(status)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler
