// Clients from npm, unmodified, behind the egress socket: each has to reach its server, and only
// through the proxy, which alone knows the names.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import {
  echoMessages,
  mongoConnection,
  mysqlServer,
  postgresServer,
  redisServer,
} from '../../tests/egress_clients/servers.mjs';
import { certificate, key } from './support/certificate.mjs';
import { listen, servers } from './support/echo.mjs';
import { Proxy } from './support/proxy.mjs';
import { sandbox } from './support/sandbox.mjs';

const FOLDER = fileURLToPath(new URL('../../tests/egress_clients/', import.meta.url));
const skip =
  !existsSync(`${FOLDER}node_modules`) && process.env.CI !== 'true'
    ? 'the packages of tests/egress_clients are not installed'
    : false;
/** Clients that do not load on Node 18. */
const NEED_20 = new Set(['undici', 'urllib4']);

async function behind(t, server, answer) {
  const port = server === undefined ? 0 : await listen(t, server);
  const proxy = await Proxy.start({
    answer: answer ?? ((target) => (/\.test:\d+$/.test(target) ? { host: '127.0.0.1', port } : '')),
  });
  t.after(() => proxy.stop());
  const worker = await sandbox(t, `${FOLDER}function`, { env: { YUNHAN_EGRESS: proxy.path } });
  return { proxy, worker };
}

async function reach(t, server, args, expected, target) {
  const { proxy, worker } = await behind(t, server);
  if (NEED_20.has(args.client) && worker.hello.node.startsWith('v18.')) {
    return t.skip('not for this Node');
  }
  const { result, value } = await worker.invoke(args);
  assert.ok(result.ok, JSON.stringify(result.fault));
  assert.deepEqual(value, expected);
  assert.ok(proxy.targets.length > 0);
  assert.deepEqual([...new Set(proxy.targets)], [target]);
}

const open = { url: 'http://web.test/x' };
const secure = { url: 'https://secure.test/x', ca: certificate };
const POSTED = 'POST /x 7'; // {"a":1}

for (const client of ['axios', 'nodeFetch', 'got', 'undici']) {
  test(client, { skip }, (t) =>
    reach(t, servers.http(), { client, ...open }, POSTED, 'web.test:80'),
  );
}
for (const client of ['urllib2', 'urllib4']) {
  // a form by default: a=1
  test(client, { skip }, (t) =>
    reach(t, servers.http(), { client, ...open }, 'POST /x 3', 'web.test:80'),
  );
}
for (const client of ['got', 'undici']) {
  test(`${client} over TLS`, { skip }, (t) =>
    reach(t, servers.https(), { client, ...secure }, POSTED, 'secure.test:443'),
  );
}

test('ws', { skip }, (t) => {
  const args = { client: 'ws', url: 'ws://web.test/' };
  return reach(t, echoMessages(servers.http()), args, 'ping-pong', 'web.test:80');
});
test('ws over TLS', { skip }, (t) => {
  const args = { client: 'ws', url: 'wss://secure.test/', ca: certificate };
  return reach(t, echoMessages(servers.https()), args, 'ping-pong', 'secure.test:443');
});

test('mongodb', { skip }, (t) => {
  const args = { client: 'mongodb', url: 'mongodb://db.test/' };
  return reach(t, net.createServer(mongoConnection), args, [[1, 'one']], 'db.test:27017');
});
test('mongodb over TLS', { skip }, (t) => {
  const args = { client: 'mongodb', url: 'mongodb://secure.test:1/', ca: certificate };
  const server = tls.createServer({ key, cert: certificate }, mongoConnection);
  return reach(t, server, args, [[1, 'one']], 'secure.test:1');
});
test('mysql2', { skip }, (t) => {
  const args = { client: 'mysql2', host: 'db.test', port: 3306, password: 'p' };
  return reach(t, mysqlServer()._server, args, [{ 1: 1 }], 'db.test:3306');
});
test('ioredis', { skip }, (t) => {
  const args = { client: 'ioredis', host: 'db.test', port: 6379 };
  return reach(t, redisServer(), args, 'v', 'db.test:6379');
});
test('pg', { skip }, (t) => {
  const args = { client: 'pg', url: 'postgres://u:p@db.test/d' };
  return reach(t, postgresServer(), args, [{ n: 1 }], 'db.test:5432');
});

const DENIED =
  'HTTP/1.1 403 x\r\nX-Egress-Error: EACCES\r\nX-Egress-Reason: a private address\r\n\r\n';
const denied = [
  { client: 'axios', url: 'http://10.0.0.1/' },
  { client: 'mongodb', url: 'mongodb://10.0.0.1/' },
  { client: 'mysql2', host: '10.0.0.1', port: 3306 },
  { client: 'pg', url: 'postgres://u:p@10.0.0.1/d' },
];
for (const args of denied) {
  test(`${args.client} shows what was refused`, { skip }, async (t) => {
    const { worker } = await behind(t, undefined, () => DENIED);
    const { value } = await worker.invoke({ ...args, refused: true });
    assert.match(value.message, /EACCES 10\.0\.0\.1:\d+ .*policy: a private address/);
    if (args.client !== 'mongodb') assert.equal(value.code, 'EACCES');
  });
}
