"""MCP servers of the official Python SDK, each a process."""

import sys

import httpx

from .process import Process, free_port, until


class McpServer:
    """A server with the tools `add`, `who` (its name), `count` (tells of its progress) and `sleep`, a prompt and two
    resources. With `delay`, it takes that many seconds to list its tools."""

    def __init__(self, name, logs, transport="streamable-http", delay=0):
        self.name, self.logs, self.port = name, logs, free_port()
        self._script = logs / f"{name}.py"
        self._script.write_text(SERVER)
        self._arguments = [name, str(self.port), transport, str(delay)]
        self._process = None
        self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        self._process = Process(self.name, [sys.executable, str(self._script), *self._arguments], self.logs)
        until(self._listens, f"{self.name} listens")

    def stop(self):
        if self._process:
            self._process.stop()
            self._process = None

    def _listens(self):
        try:
            return httpx.get(f"{self.url}/nowhere", timeout=1).status_code == 404
        except httpx.HTTPError:
            return False


SERVER = """
import asyncio, sys
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

name, port, transport, delay = sys.argv[1:]
server = MCPServer(name, instructions=f"I am {name}.")

@server.tool()
def add(a: int, b: int) -> int:
    return a + b

@server.tool()
def who() -> str:
    return name

@server.tool()
async def count(context: Context) -> str:
    for n in range(3):
        await context.report_progress(n, 3)
        await asyncio.sleep(0.3)
    return "counted"

@server.tool()
async def sleep(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "slept"

@server.prompt()
def hello(of: str) -> str:
    return f"Hello {of} from {name}"

@server.resource("notes://all")
def notes() -> str:
    return f"notes of {name}"

@server.resource("notes://of/{day}")
def of_day(day: str) -> str:
    return f"notes of {name} of {day}"

if float(delay):
    listed = server.list_tools
    async def late(*arguments, **more):
        await asyncio.sleep(float(delay))
        return await listed(*arguments, **more)
    server.list_tools = late

server.run(transport=transport, host="127.0.0.1", port=int(port))
"""
