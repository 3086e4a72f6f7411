"""An issuer of tokens: an authorization server as far as a resource server sees one."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Issuer:
    """Serves its keys at `jwks_uri` until `stop`, or answers 503 while it `is_away`."""

    def __init__(self):
        self.keys, self.published, self.is_away = {}, [], False
        self.rotate("first")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.jwks_uri = self.url + "/jwks"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def rotate(self, kid):
        """Publishes one key, a new one, and no other."""
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(private.public_key()))
        self.keys[kid], self.published = private, [{**public, "kid": kid, "use": "sig", "alg": "RS256"}]

    def token(self, audience, kid="first", key=None, algorithm="RS256", headers=None, **claims):
        """A token for `audience`; a claim that is None is left out."""
        now = int(time.time())
        claims = {"iss": self.url, "aud": audience, "sub": "alice", "iat": now, "exp": now + 600, **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        key = None if algorithm == "none" else key or self.keys[kid]
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid, **(headers or {})})

    def _handler(issuer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = json.dumps({"keys": issuer.published}).encode()
                self.send_response(503 if issuer.is_away else 200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
