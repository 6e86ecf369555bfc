// Servers on loopback for functions of a running program: HTTP, HTTPS, WebSocket on both, Redis, PostgreSQL.
// Reads {cert, key} from the first line of stdin, prints their ports, ends with stdin.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { postgresServer, redisServer } from './servers.mjs';

const { WebSocketServer } = createRequire(import.meta.url)('ws');
const PART = 16 * 1024;
const PATTERN = Buffer.from(Array.from({ length: 251 }, (_, i) => i));

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://x');
  const [, what, size] = pathname.split('/');
  const json = (value) => response.setHeader('content-type', 'application/json').end(JSON.stringify(value));
  if (what === 'sha') {
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of request) {
      hash.update(chunk);
      length += chunk.length;
    }
    return json({ size: length, sha: hash.digest('hex') });
  }
  if (what === 'bytes') return response.end(Buffer.alloc(Number(size), PATTERN));
  if (what === 'text') return response.end('x'.repeat(Number(size)));
  if (what === 'redirect') return response.writeHead(302, { location: searchParams.get('to') }).end();
  if (what === 'chunked') {
    const bytes = Buffer.alloc(Number(size), PATTERN);
    for (let at = 0; at < bytes.length; at += PART) {
      if (!response.write(bytes.subarray(at, at + PART))) await once(response, 'drain');
    }
    return response.end();
  }
  return json({ path: pathname, port: request.socket.remotePort });
}

const echo = (server) => {
  const sockets = new WebSocketServer({ server, maxPayload: 32 * 1024 * 1024 });
  sockets.on('connection', (socket) =>
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
  );
  return server;
};

const lines = createInterface({ input: process.stdin });
lines.on('close', () => process.exit(0));
const [line] = await once(lines, 'line');
const { cert, key } = JSON.parse(line);
const servers = {
  http: echo(createHttp(answer)),
  https: echo(createHttps({ cert, key }, answer)),
  redis: redisServer(),
  postgres: postgresServer(),
  closed: createHttp(answer), // there, but without a rule
};
const ports = {};
for (const [name, server] of Object.entries(servers)) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ports[name] = server.address().port;
}
console.log(JSON.stringify(ports));
