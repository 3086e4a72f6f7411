// Uses MCP servers by the official SDK: `node mcp-client.mjs '{"<name>": {"url": …, "sse": true}, …}'`, with the key in
// WEIR_KEY. Prints one line of JSON for each, with what it saw; then `waiting`, and at last which lists have changed.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const headers = { authorization: `Bearer ${process.env.WEIR_KEY}` };

// Connects; `opened` is done when the stream of what the server says unasked is there, `changed` when a list has changed.
async function connect({ url, sse }) {
  let open, tell;
  const opened = new Promise((resolve) => (open = resolve));
  const changed = new Promise((resolve) => (tell = resolve));
  const watched = async (input, init) => {
    const answer = await fetch(input, init);
    if ((init?.method ?? 'GET') === 'GET') open(answer.status);
    return answer;
  };
  const options = { requestInit: { headers }, fetch: watched };
  const transport = sse
    ? new SSEClientTransport(new URL(url), options)
    : new StreamableHTTPClientTransport(new URL(url), options);
  const client = new Client({ name: 'suite', version: '1.0.0' });
  client.setNotificationHandler(ToolListChangedNotificationSchema, () => tell(true));
  await client.connect(transport);
  return { client, opened, changed };
}

const code = (promise) => promise.then(() => 'no error', (error) => error.code);

async function use(client) {
  const { tools } = await client.listTools();
  const simple = await client.callTool({ name: 'test_simple_text' });
  const wrong = await client.callTool({ name: 'test_error_handling' });
  const { resources } = await client.listResources();
  const { resourceTemplates } = await client.listResourceTemplates();
  const read = await client.readResource({ uri: 'test://template/123/data' });
  const args = { arg1: 'one', arg2: 'two' };
  const prompt = await client.getPrompt({ name: 'test_prompt_with_arguments', arguments: args });
  const completed = await client.complete({
    ref: { type: 'ref/prompt', name: 'test_prompt_with_arguments' },
    argument: { name: 'arg1', value: 'te' },
  });
  return {
    server: client.getServerVersion().name,
    tools: tools.map((tool) => tool.name).filter((name) => name.startsWith('test_simple')),
    simple: simple.content,
    wrong: wrong.isError,
    resources: resources.map((resource) => resource.uri).filter((uri) => uri.startsWith('test://static')),
    templates: resourceTemplates.map((template) => template.uriTemplate),
    read: read.contents[0].text.includes('123'),
    prompt: prompt.messages[0].content.text,
    completed: completed.completion.values,
    unknown_tool: await code(client.callTool({ name: 'nope' }).then(({ isError }) => isError && Promise.reject({ code: 'isError' }))),
    unknown_resource: await code(client.readResource({ uri: 'test://nope' })),
    missing_argument: await code(client.getPrompt({ name: 'test_prompt_with_arguments', arguments: {} })),
  };
}

const print = (line) => console.log(JSON.stringify(line));
const servers = JSON.parse(process.argv[2]);
const waiting = {};
for (const [name, server] of Object.entries(servers)) {
  const { client, opened, changed } = await connect(server);
  print({ name, seen: await use(client), stream: await opened });
  waiting[name] = changed;
  if (server.trigger) await client.callTool({ name: server.trigger });
}
print('waiting');
for (const changed of Object.values(waiting)) await changed;
print(Object.keys(waiting));
process.exit(0);
