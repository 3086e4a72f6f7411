// OpenAI's own client for Node, unmodified, at a gateway: every model of MODELS has an upstream of another interface.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const { BASE_URL: baseURL, API_KEY: apiKey, MODELS } = process.env;
const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, timeout: 15_000 });
const SAID = "You said: hello gateway";
const SCHEMA = { type: "object", properties: { said: { type: "string" } }, required: ["said"] };
const PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

const hello = (content = "hello gateway") => [{ role: "user", content }];

for (const model of MODELS.split(",")) {
  test(`${model}: a chat`, async () => {
    const chat = await client.chat.completions.create({ model, messages: hello() });
    assert.deepEqual([chat.model, chat.choices[0].message.content, chat.usage.completion_tokens], [model, SAID, 4]);
  });

  test(`${model}: a stream of chunks, with its usage`, async () => {
    const options = { stream: true, stream_options: { include_usage: true } };
    const stream = await client.chat.completions.create({ model, messages: hello(), ...options });
    let said = "", last;
    for await (const chunk of stream) {
      said += chunk.choices[0]?.delta.content ?? "";
      last = chunk;
    }
    assert.deepEqual([said, last.usage.completion_tokens], [SAID, 4]);
  });

  test(`${model}: the helper for streams`, async () => {
    const deltas = [];
    const stream = client.chat.completions.stream({ model, messages: hello() }).on("content", (delta) => deltas.push(delta));
    const chat = await stream.finalChatCompletion();
    assert.deepEqual([deltas.join(""), chat.choices[0].message.content, chat.model], [SAID, SAID, model]);
  });

  for (const stream of [false, true]) {
    test(`${model}: the helper for tools, ${stream ? "streamed" : "whole"}`, async () => {
      const given = [];
      const look = (args) => given.push(args) && "all is well";
      const tool = { name: "look", description: "Looks.", parameters: SCHEMA, parse: JSON.parse, function: look };
      const tools = [{ type: "function", function: tool }];
      const runner = client.chat.completions.runTools({ model, messages: hello(), tools, stream });
      assert.equal(await runner.finalContent(), "You said: all is well");
      assert.deepEqual(given, [{ said: "hello gateway" }]);
    });
  }

  test(`${model}: JSON of a schema about an image`, async () => {
    const image = { type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } };
    const chat = await client.chat.completions.parse({
      model,
      messages: hello([{ type: "text", text: "hello gateway" }, image]),
      response_format: { type: "json_schema", json_schema: { name: "said", schema: SCHEMA } },
    });
    assert.deepEqual(JSON.parse(chat.choices[0].message.content), { said: "hello gateway" });
  });

  test(`${model}: a response, whole and streamed`, async () => {
    const response = await client.responses.create({ model, input: "hello gateway" });
    assert.deepEqual([response.output_text, response.status, response.model], [SAID, "completed", model]);
    const stream = client.responses.stream({ model, input: "hello gateway" });
    let said = "";
    stream.on("response.output_text.delta", (event) => (said += event.delta));
    assert.deepEqual([(await stream.finalResponse()).output_text, said], [SAID, SAID]);
  });

  test(`${model}: a stream that breaks off is an error`, async () => {
    const headers = { "sim-end-after-chunks": "3" };
    const stream = await client.chat.completions.create({ model, messages: hello(), stream: true }, { headers });
    await assert.rejects(Array.fromAsync(stream), { code: "upstream_incomplete" });
  });
}

test("vectors, which this client asks for in base64", async () => {
  const { data, usage } = await client.embeddings.create({ model: "embed", input: ["one", "one", "two"] });
  assert.deepEqual(data[0].embedding, data[1].embedding);
  assert.notDeepEqual(data[0].embedding, data[2].embedding);
  const numbers = await client.embeddings.create({ model: "embed", input: "one", encoding_format: "float" });
  const near = data[0].embedding.map((value, at) => Math.abs(value - numbers.data[0].embedding[at]) < 1e-6);
  assert.ok(near.length > 1 && near.every(Boolean));
  assert.equal(usage.prompt_tokens, 3);
});

test("the list of models", async () => {
  const names = (await Array.fromAsync(client.models.list())).map((model) => model.id);
  assert.ok(MODELS.split(",").every((model) => names.includes(model)));
});

test("errors have the client's own classes", async () => {
  const messages = hello();
  await assert.rejects(client.chat.completions.create({ model: "nothing", messages }), OpenAI.NotFoundError);
  const stranger = client.withOptions({ apiKey: "wk-nobody" });
  await assert.rejects(stranger.chat.completions.create({ model: "c", messages }), OpenAI.AuthenticationError);
  const headers = { "sim-status": "500" };
  await assert.rejects(client.chat.completions.create({ model: "c", messages }, { headers }), OpenAI.InternalServerError);
});

test("a 429 is asked again when the upstream wants", async () => {
  const headers = { "sim-status": "429", "sim-retry-after": "1", "sim-tag": "node-429" };
  const begun = Date.now();
  const asked = client.chat.completions.create({ model: "c", messages: hello() }, { headers, maxRetries: 1 });
  await assert.rejects(asked, OpenAI.RateLimitError);
  assert.ok(Date.now() - begun >= 1000);
});

test("a stream that is aborted ends", async () => {
  const headers = { "sim-hold": "node-never", "sim-tag": "node-abort" };
  const stream = await client.chat.completions.create({ model: "c", messages: hello(), stream: true }, { headers });
  for await (const chunk of stream) {
    assert.equal(chunk.choices[0].delta.role, "assistant");
    stream.controller.abort();
  }
});
