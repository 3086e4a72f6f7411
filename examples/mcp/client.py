"""Calls a tool of the shop with the official SDK (`pip install mcp`)."""

import os

import anyio
import httpx
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

URL = os.environ.get("SHOP_URL", "http://127.0.0.1:10000/shop")


async def main():
    async with httpx.AsyncClient(headers={"authorization": "Bearer test"}) as http:
        async with Client(streamable_http_client(URL, http_client=http)) as client:
            print([tool.name for tool in (await client.list_tools()).tools])
            result = await client.call_tool("order-status", {"order": 7})
            print(result.content[0].text)


anyio.run(main)
