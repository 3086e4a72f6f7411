"""An MCP server with all that the official conformance suite asks of one: `python everything.py <port> [legacy|modern]`.

Names and shapes are the suite's; the SDK is the official one of Python, which speaks every revision. With `legacy` it
speaks those before 2026-07-28 only, with `modern` that one only.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Annotated

import uvicorn
from mcp import types
from mcp.server.mcpserver import Context, MCPServer, RequestStateSecurity
from mcp.server.mcpserver.prompts.base import Prompt, UserMessage
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, Field

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="

server = MCPServer("everything", version="1.0.0", request_state_security=RequestStateSecurity(keys=[b"k" * 32]))


def text(of):
    return types.TextContent(type="text", text=of)


def image():
    return types.ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri, content, media="text/plain"):
    return types.EmbeddedResource(
        type="resource", resource=types.TextResourceContents(uri=uri, mime_type=media, text=content)
    )


# Tools that answer at once.


@server.tool(description="A text")
def test_simple_text() -> str:
    return "This is a simple text response for testing."


@server.tool(description="An image")
def test_image_content() -> list[types.ImageContent]:
    return [image()]


@server.tool(description="A sound")
def test_audio_content() -> list[types.AudioContent]:
    return [types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


@server.tool(description="A resource inside the answer")
def test_embedded_resource() -> list[types.EmbeddedResource]:
    return [embedded("test://embedded-resource", "This is an embedded resource content.")]


@server.tool(description="Three kinds of content")
def test_multiple_content_types() -> list[types.TextContent | types.ImageContent | types.EmbeddedResource]:
    mixed = embedded("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json")
    return [text("Multiple content types test:"), image(), mixed]


@server.tool(description="An error")
def test_error_handling() -> str:
    raise RuntimeError("This tool intentionally returns an error for testing")


@server.tool(description="Repeats an argument in a header")
def test_x_mcp_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})] = "none") -> str:
    return f"region={region}"


@server.tool(description="Wants a client that can sample")
async def test_missing_capability(context: Context) -> str:
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY, "sampling is needed", {"requiredCapabilities": {"sampling": {}}}
        )
    return "sampling is there"


@server.tool(description="Has a schema with much of JSON Schema 2020-12")
def json_schema_2020_12_tool() -> str:
    return "called"


schema = Path(__file__).with_name("conformance_schema.json").read_text()
server._tool_manager._tools["json_schema_2020_12_tool"].parameters = json.loads(schema)


# Tools that tell something on the way, or ask the client (revisions before 2026-07-28).


@server.tool(description="Logs")
async def test_tool_with_logging(context: Context) -> str:
    for step in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
        await context.info(step)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool(description="Reports progress")
async def test_tool_with_progress(context: Context) -> str:
    for step in (0, 50, 100):
        await context.report_progress(step, 100, f"step {step}")
        await asyncio.sleep(0.05)
    return "done"


@server.tool(description="Asks the client's model")
async def test_sampling(prompt: str, context: Context) -> str:
    question = [types.SamplingMessage(role="user", content=text(prompt))]
    answer = await context.session.create_message(question, max_tokens=100, related_request_id=context.request_id)
    return f"LLM response: {answer.content.text}"


class Reply(BaseModel):
    response: str = Field(description="The user's response")


class Defaults(BaseModel):
    name: str = Field(default="John Doe")
    age: int = Field(default=30)
    score: float = Field(default=95.5)
    status: str = Field(default="active", json_schema_extra={"enum": ["active", "inactive", "pending"]})
    verified: bool = Field(default=True)


def titled(*values):
    return [{"const": value, "title": value.title()} for value in values]


class Choices(BaseModel):
    untitledSingle: str = Field(json_schema_extra={"enum": ["a", "b"]})
    titledSingle: str = Field(json_schema_extra={"oneOf": titled("a", "b")})
    untitledMulti: list[str] = Field(json_schema_extra={"items": {"type": "string", "enum": ["a", "b"]}})
    titledMulti: list[str] = Field(json_schema_extra={"items": {"anyOf": titled("a", "b")}})
    legacyEnum: str = Field(json_schema_extra={"enum": ["a", "b"], "enumNames": ["A", "B"]})


async def elicited(context, message, schema):
    answer = await context.elicit(message, schema)
    return f"action={answer.action}"


@server.tool(description="Asks the user")
async def test_elicitation(message: str, context: Context) -> str:
    return await elicited(context, message, Reply)


@server.tool(description="Asks the user, with defaults")
async def test_elicitation_sep1034_defaults(context: Context) -> str:
    return await elicited(context, "Please fill in", Defaults)


@server.tool(description="Asks the user to choose")
async def test_elicitation_sep1330_enums(context: Context) -> str:
    return await elicited(context, "Please choose", Choices)


@server.tool(description="Closes its stream while it works")
async def test_reconnection(context: Context) -> str:
    await context.close_sse_stream()
    await asyncio.sleep(0.2)
    return "reconnected"


# Tools that need more input first (2026-07-28).


def form(message, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(question):
    message = types.SamplingMessage(role="user", content=text(question))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[message], max_tokens=50))


WORD, FLAG = {"type": "string"}, {"type": "boolean"}


def wants(state=None, **requests):
    return types.InputRequiredResult(input_requests=requests, request_state=state)


def given(context, name, field=None):
    answer = (context.input_responses or {}).get(name)
    return answer if field is None else (getattr(answer, "content", None) or {}).get(field)


@server.tool(description="Needs the user's name")
async def test_input_required_result_elicitation(context: Context) -> str | types.InputRequiredResult:
    name = given(context, "user_name", "name")
    return f"Hello, {name}!" if name else wants(user_name=form("What is your name?", name=WORD))


@server.tool(description="Needs the client's model")
async def test_input_required_result_sampling(context: Context) -> str | types.InputRequiredResult:
    answer = given(context, "capital_question")
    return answer.content.text if answer else wants(capital_question=sample("What is the capital of France?"))


@server.tool(description="Needs the client's roots")
async def test_input_required_result_list_roots(context: Context) -> str | types.InputRequiredResult:
    answer = given(context, "client_roots")
    return f"{len(answer.roots)} roots" if answer else wants(client_roots=types.ListRootsRequest())


@server.tool(description="Remembers in what the client repeats")
async def test_input_required_result_request_state(context: Context) -> str | types.InputRequiredResult:
    if given(context, "confirm") and context.request_state == "nonce":
        return "state-ok"
    return wants("nonce", confirm=form("Please confirm", ok=FLAG))


@server.tool(description="Needs several things")
async def test_input_required_result_multiple_inputs(context: Context) -> str | types.InputRequiredResult:
    needed = {
        "user_name": form("What is your name?", name=WORD),
        "greeting": sample("Generate a greeting"),
        "client_roots": types.ListRootsRequest(),
    }
    has_all = needed.keys() <= (context.input_responses or {}).keys()
    return "all is there" if has_all else wants("several", **needed)


@server.tool(description="Asks twice")
async def test_input_required_result_multi_round(context: Context) -> str | types.InputRequiredResult:
    state = json.loads(context.request_state or '{"round": 0}')
    if state["round"] == 1 and (name := given(context, "step1", "name")):
        return wants(json.dumps({"round": 2, "name": name}), step2=form("Step 2: your color?", color=WORD))
    if state["round"] == 2 and (color := given(context, "step2", "color")):
        return f"{state['name']} likes {color}."
    return wants(json.dumps({"round": 1}), step1=form("Step 1: your name?", name=WORD))


@server.tool(description="Refuses a state that was changed")
async def test_input_required_result_tampered_state(context: Context) -> str | types.InputRequiredResult:
    return "state-ok" if context.request_state else wants("round-1", confirm=form("Please confirm", ok=FLAG))


@server.tool(description="Asks only for what the client can do")
async def test_input_required_result_capabilities(context: Context) -> types.InputRequiredResult:
    can = context.client_capabilities
    requests = {"sample": sample("Say hello")} if can is None or can.sampling is not None else {}
    if can is None or can.elicitation is not None:
        requests["ask"] = form("What is your name?", name=WORD)
    return wants("by capability", **requests)


# Changes of lists.


@server.tool(description="Changes the list of tools")
async def test_trigger_tool_change(context: Context) -> str:
    server.add_tool(lambda: "new", name="test_new_tool")
    server.remove_tool("test_new_tool")
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "changed"


@server.tool(description="Changes the list of prompts")
async def test_trigger_prompt_change(context: Context) -> str:
    server.add_prompt(Prompt.from_function(lambda: "new", name="test_new_prompt", description="new"))
    server.remove_prompt("test_new_prompt")
    await context.notify_prompts_changed()
    return "changed"


# Resources, prompts, and the rest.


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return base64.b64decode(PNG)


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> str:
    return json.dumps({"id": id, "data": f"Data for ID: {id}"})


@server.resource("test://watched-resource")
def watched_resource() -> str:
    return "watched"


def says(*contents):
    return [UserMessage(role="user", content=content) for content in contents]


@server.prompt(description="A text")
def test_simple_prompt() -> list[UserMessage]:
    return says(text("This is a simple prompt for testing."))


@server.prompt(description="A text with arguments")
def test_prompt_with_arguments(arg1: str, arg2: str) -> list[UserMessage]:
    return says(text(f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"))


@server.prompt(description="A resource and a text")
def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
    return says(embedded(resourceUri, "Embedded resource content for testing."), text("Please process it."))


@server.prompt(description="An image and a text")
def test_prompt_with_image() -> list[UserMessage]:
    return says(image(), text("Please analyze the image."))


@server.prompt(description="Needs the user's context")
async def test_input_required_result_prompt(context: Context) -> list[UserMessage] | types.InputRequiredResult:
    said = given(context, "user_context", "context")
    return says(text(said)) if said else wants(user_context=form("What context?", context=WORD))


@server.completion()
async def complete(ref, argument, context):
    values = [value for value in ["test"] if value.startswith(argument.value)]
    return types.Completion(values=values, total=len(values), has_more=False)


async def nothing(context, params):
    return types.EmptyResult()


for method, params in [
    ("logging/setLevel", types.SetLevelRequestParams),
    ("resources/subscribe", types.SubscribeRequestParams),
    ("resources/unsubscribe", types.UnsubscribeRequestParams),
]:
    server._lowlevel_server.add_request_handler(method, params, nothing)


class Events(EventStore):
    """Events by their id, for clients that come back for those they have missed."""

    def __init__(self):
        self._events = []

    async def store_event(self, stream_id, message):
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id, send_callback):
        last = int(last_event_id)
        if not 0 < last <= len(self._events):
            return None
        wanted = self._events[last - 1][0]
        for at, (stream, message) in enumerate(self._events[last:], last + 1):
            if stream == wanted and message is not None:
                await send_callback(EventMessage(message, str(at)))
        return wanted


def only(app, era):
    """The same server with one era of the protocol."""

    async def serve(scope, receive, send):
        headers = dict(scope.get("headers", []))
        is_modern = headers.get(b"mcp-protocol-version") == b"2026-07-28"
        if scope["type"] != "http" or is_modern == (era == "modern"):
            return await app(scope, receive, send)
        supported = ["2026-07-28"] if era == "modern" else ["2025-11-25"]
        error = {"code": -32022, "message": "Unsupported protocol version", "data": {"supported": supported}}
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode()
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    return serve


if __name__ == "__main__":
    port, *eras = sys.argv[1:]
    app = server.streamable_http_app(host="127.0.0.1", event_store=Events(), retry_interval=100)
    for era in eras:
        app = only(app, era)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")
