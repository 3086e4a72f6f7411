"""The shop's REST API, and a partner's MCP server: what a gateway is put before. Only for trying it out."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

ORDERS = {"7": {"id": 7, "customer": "c1", "state": "sent"}, "8": {"id": 8, "customer": "c2", "state": "open"}}
CUSTOMERS = {"c1": {"name": "Ada"}, "c2": {"name": "Lin"}}


class Json(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body, status=200):
        text = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Shop(Json):
    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        match url.path.strip("/").split("/"):
            case ["orders"]:
                self.answer([order for order in ORDERS.values() if order["state"] == query.get("state", order["state"])])
            case ["orders", order] if order in ORDERS:
                self.answer(ORDERS[order])
            case ["customers", customer] if customer in CUSTOMERS:
                self.answer(CUSTOMERS[customer])
            case ["stock", article]:
                self.answer({"article": article, "place": query.get("place"), "left": 12})
            case _:
                self.answer({"error": "no such thing"}, 404)

    def do_DELETE(self):
        self.answer({"deleted": self.path.rsplit("/", 1)[-1]})


class Partner(Json):
    """An MCP server of the revision 2025-11-25, as small as can be."""

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        tools = [
            {"name": name, "description": text, "inputSchema": {"type": "object"}}
            for name, text in [("quote", "Says what a parcel costs."), ("admin-reset", "Resets the partner.")]
        ]
        results = {
            "initialize": {
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "partner", "version": "1.0.0"},
            },
            "tools/list": {"tools": tools},
            "tools/call": {"content": [{"type": "text", "text": "4.90 EUR"}]},
            "ping": {},
        }
        if "id" not in message:
            return self.answer(None, 202)
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        method = message["method"]
        unknown = {"error": {"code": -32601, "message": f"no method {method}"}}
        self.answer(answer | ({"result": results[method]} if method in results else unknown))

    def do_GET(self):
        self.answer({"error": "no streams"}, 405)


if __name__ == "__main__":
    shop, partner = map(int, sys.argv[1:3] or (8090, 8091))
    Thread(target=ThreadingHTTPServer(("127.0.0.1", partner), Partner).serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", shop), Shop).serve_forever()
