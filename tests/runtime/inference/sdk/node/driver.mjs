// Runs commands of the tests with the openai SDK for Node: one JSON object a line on stdin, one reply a line on stdout.
//
//   {"id", "url", "key", "retries", "timeout", "command", "args"}  ->  {"id", "value"} or {"id", "error"}
//
// Commands run side by side. Started by node_client.py with the folder that has node_modules as its argument.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { default: OpenAI, toFile } = createRequire(process.argv[2] + '/')('openai');

async function collect(items, leaveAfter) {
  const seen = [];
  for await (const item of items) {
    seen.push(item);
    if (seen.length === leaveAfter) break; // the SDK aborts the request then
  }
  return seen;
}

const commands = {
  chat: (client, args) => client.chat.completions.create(args.params),
  chatStream: async (client, args) =>
    collect(await client.chat.completions.create({ ...args.params, stream: true }), args.leaveAfter),
  upload: async (client, args) =>
    client.files.create({ file: await toFile(Buffer.from(args.text), args.name), purpose: args.purpose }),
  files: async (client, args) => (await collect(client.files.list(args.params))).map((file) => file.id),
  file: (client, args) => client.files.retrieve(args.id),
  fileContent: async (client, args) => (await client.files.content(args.id)).text(),
  deleteFile: (client, args) => client.files.delete(args.id),
  response: (client, args) => client.responses.create(args.params),
  responseStream: async (client, args) =>
    collect(await client.responses.create({ ...args.params, stream: true }), args.leaveAfter),
  getResponse: (client, args) => client.responses.retrieve(args.id),
  followResponse: async (client, args) =>
    collect(await client.responses.retrieve(args.id, { stream: true, starting_after: args.after })),
  cancelResponse: (client, args) => client.responses.cancel(args.id),
  deleteResponse: async (client, args) => (await client.responses.delete(args.id)) ?? null,
  inputItems: async (client, args) => (await collect(client.responses.inputItems.list(args.id))).map((item) => item.id),
  models: async (client) => (await collect(client.models.list())).map((model) => model.id),
  model: (client, args) => client.models.retrieve(args.id),
};

function describe(error) {
  return {
    kind: error.constructor.name,
    status: error.status ?? null,
    code: error.code ?? null,
    type: error.type ?? null,
    param: error.param ?? null,
    requestId: error.requestID ?? null,
    message: error.message,
  };
}

async function run(line) {
  const { id, url, key, retries, timeout, command, args } = JSON.parse(line);
  const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: retries, timeout: timeout * 1000 });
  try {
    return { id, value: await commands[command](client, args) };
  } catch (error) {
    return { id, error: describe(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  run(line).then((reply) => process.stdout.write(JSON.stringify(reply) + '\n'));
}
