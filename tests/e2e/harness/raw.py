"""HTTP by hand, for what a well-behaved client would not send, or not at that moment."""

import http.client
import json
import socket
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events


@dataclass
class Answer:
    """A response that was received to its end."""

    status: int
    headers: dict
    body: bytes

    def json(self):
        return json.loads(self.body)

    def error(self):
        """The `error` object of an OpenAI error body, which has exactly these members."""
        body = self.json()
        assert list(body) == ["error"], body
        assert set(body["error"]) == {"message", "type", "param", "code"}, body
        assert self.headers["content-type"].startswith("application/json")
        return body["error"]


class Connection:
    """One HTTP/1.1 connection, written to piece by piece."""

    def __init__(self, port, seconds=15):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._method = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def head(self, method, path, headers):
        """Sends the request line and the headers, a list of pairs of text or bytes."""
        self._method = method
        lines = [b"%s %s HTTP/1.1" % (encoded(method), encoded(path))]
        lines += [b"%s: %s" % (encoded(name), encoded(value)) for name, value in headers]
        self.send(b"\r\n".join(lines) + b"\r\n\r\n")

    def send(self, data):
        """Sends bytes; a peer that has answered and closed already is no error here."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def chunk(self, data):
        """Sends one chunk of a chunked body; an empty one ends it."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def response(self):
        """Reads the headers of the response and leaves its body to the caller."""
        response = http.client.HTTPResponse(self._socket, method=self._method)
        response.begin()
        return response

    def receive(self, end):
        """Reads byte by byte up to and including `end`."""
        received = b""
        while not received.endswith(end):
            byte = self._socket.recv(1)
            assert byte, f"the connection ended after {received!r}"
            received += byte
        return received

    def until_closed(self):
        """Whatever still comes until the peer closes, or resets, the connection."""
        received = b""
        try:
            while data := self._socket.recv(65_536):
                received += data
        except ConnectionResetError:
            pass
        return received

    def answer(self):
        """Reads the whole response."""
        response = self.response()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())


def encoded(value):
    return value if isinstance(value, bytes) else str(value).encode("latin-1")


def request(port, method="POST", path="/v1/chat/completions", headers=(), body=b""):
    """One request on a connection of its own."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    with Connection(port) as connection:
        connection.head(method, path, [("host", "gateway.test"), ("content-length", len(body)), *headers])
        connection.send(body)
        return connection.answer()


def request_h2(port, path, headers, body, trailers=None, authority="gateway.test"):
    """One POST over HTTP/2 without TLS, by prior knowledge."""
    config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
    protocol = h2.connection.H2Connection(config)
    pseudo = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", authority)]
    status, received, content = None, {}, b""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as transport:
        protocol.initiate_connection()
        protocol.send_headers(1, [*pseudo, *headers])
        size = protocol.max_outbound_frame_size
        for start in range(0, len(body), size):
            protocol.send_data(1, body[start : start + size])
        if trailers:
            protocol.send_headers(1, trailers, end_stream=True)
        else:
            protocol.end_stream(1)
        transport.sendall(protocol.data_to_send())
        while True:
            data = transport.recv(65_536)
            if not data:
                raise ConnectionResetError("the connection ended before the response")
            for event in protocol.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    fields = dict(event.headers)
                    status, received = int(fields.pop(":status")), fields
                elif isinstance(event, h2.events.DataReceived):
                    content += event.data
                    protocol.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionResetError(f"the stream was reset: {event.error_code!r}")
                elif isinstance(event, h2.events.StreamEnded):
                    return Answer(status, received, content)
            transport.sendall(protocol.data_to_send())
