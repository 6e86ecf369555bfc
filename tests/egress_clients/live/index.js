// Network clients from npm against real servers. Each act gives what a test can check; payloads are made and
// hashed here and there, so that a byte that is lost or changed is seen.
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const { existsSync, readFileSync } = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const os = require('node:os');
const { Readable } = require('node:stream');
const tls = require('node:tls');

const CA = `${__dirname}/ca.pem`;
const ca = existsSync(CA) ? readFileSync(CA, 'utf8') : undefined;

/** The bytes that the server makes as well. */
const payload = (size) => Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, i) => i)));
const sha = (bytes) => createHash('sha256').update(bytes).digest('hex');
const collect = async (stream) => {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
};
const moduleOf = (url) => (url.startsWith('https:') ? https : http);

/** One request by Node's own client, its body streamed in 64 KiB parts (chunked unless `length`). */
const send = (url, { method = 'GET', body, length, agent } = {}) =>
  new Promise((resolve, reject) => {
    const headers = length ? { 'content-length': body.length } : {};
    const request = moduleOf(url).request(url, { method, headers, agent, ca }, (response) =>
      collect(response).then(
        (bytes) => resolve({ status: response.statusCode, headers: response.headers, bytes }),
        reject,
      ),
    );
    request.on('error', reject);
    if (body === undefined) request.end();
    else {
      const parts = [];
      for (let at = 0; at < body.length; at += 65536) parts.push(body.subarray(at, at + 65536));
      Readable.from(parts).pipe(request);
    }
  });
const down = (bytes) => ({ size: bytes.length, sha: sha(bytes) });

/** 'client' -> (base URL, size) -> {up, down}: what the server saw of `size` bytes, and what came of it. */
const transfers = {
  node: async (base, size) => ({
    up: JSON.parse(
      (await send(`${base}/sha`, { method: 'POST', body: payload(size), length: true })).bytes,
    ),
    down: down((await send(`${base}/bytes/${size}`)).bytes),
  }),
  nodeChunked: async (base, size) => ({
    up: JSON.parse((await send(`${base}/sha`, { method: 'POST', body: payload(size) })).bytes),
    down: down((await send(`${base}/chunked/${size}`)).bytes),
  }),
  fetch: async (base, size) => {
    trustGlobally();
    const up = await fetch(`${base}/sha`, { method: 'POST', body: payload(size) });
    const got = await fetch(`${base}/chunked/${size}`);
    return { up: await up.json(), down: down(Buffer.from(await got.arrayBuffer())) };
  },
  axios: async (base, size) => {
    const client = require('axios').create({ httpsAgent: new https.Agent({ ca }) });
    const up = await client.post(`${base}/sha`, payload(size), { maxBodyLength: Infinity });
    const options = { responseType: 'arraybuffer', maxContentLength: Infinity };
    return { up: up.data, down: down((await client.get(`${base}/bytes/${size}`, options)).data) };
  },
  got: async (base, size) => {
    const { got } = await import('got');
    const client = got.extend({ https: { certificateAuthority: ca }, retry: { limit: 0 } });
    const up = await client.post(`${base}/sha`, { body: payload(size) }).json();
    return { up, down: down(Buffer.from(await client(`${base}/bytes/${size}`).buffer())) };
  },
  nodeFetch: async (base, size) => {
    const { default: fetch } = await import('node-fetch');
    const agent = base.startsWith('https:') ? new https.Agent({ ca }) : undefined;
    const up = await fetch(`${base}/sha`, { method: 'POST', body: payload(size), agent });
    const got = await fetch(`${base}/chunked/${size}`, { agent });
    return { up: await up.json(), down: down(Buffer.from(await got.arrayBuffer())) };
  },
  urllib2: async (base, size) => {
    const { request } = require('urllib2');
    const options = { ca, timeout: 20000 };
    const sent = { ...options, method: 'POST', content: payload(size), dataType: 'json' };
    const up = (await request(`${base}/sha`, sent)).data;
    return { up, down: down((await request(`${base}/bytes/${size}`, options)).data) };
  },
  urllib4: async (base, size) => {
    const { HttpClient } = require('urllib');
    const client = new HttpClient({ connect: { ca } });
    const sent = { method: 'POST', content: payload(size), dataType: 'json', timeout: 20000 };
    const up = (await client.request(`${base}/sha`, sent)).data;
    const got = await client.request(`${base}/bytes/${size}`, { timeout: 20000 });
    return { up, down: down(got.data) };
  },
  undici: async (base, size) => {
    const { Agent, request } = require('undici');
    const dispatcher = new Agent({ connect: { ca } });
    const up = await request(`${base}/sha`, { method: 'POST', body: payload(size), dispatcher });
    const got = await request(`${base}/chunked/${size}`, { dispatcher });
    const told = { up: await up.body.json(), down: down(Buffer.from(await got.body.arrayBuffer())) };
    await dispatcher.close();
    return told;
  },
  httpclient: async (base, size, { httpclient }) => {
    const options = { ca, timeout: 20000 };
    const sent = { ...options, method: 'POST', content: payload(size), dataType: 'json' };
    const up = (await httpclient.request(`${base}/sha`, sent)).data;
    return { up, down: down((await httpclient.request(`${base}/bytes/${size}`, options)).data) };
  },
};

/** For clients that take no `ca`: the process trusts it, as NODE_EXTRA_CA_CERTS would make it. */
let trusted = false;
function trustGlobally() {
  if (trusted || ca === undefined) return;
  trusted = true;
  tls.setDefaultCACertificates([...tls.getCACertificates(), ca]);
}

const until = (socket, event) =>
  new Promise((resolve, reject) => {
    socket.addEventListener(event, resolve);
    socket.addEventListener('error', (told) => reject(told.error ?? new Error(told.message)));
  });

/** Texts and bytes that came back, in their order. */
const sockets = {
  ws: async (url, size) => {
    const WebSocket = require('ws');
    const socket = new WebSocket(url, { ca });
    await once(socket, 'open');
    const replies = [];
    const all = new Promise((resolve) =>
      socket.on('message', (data) => replies.push(data) === 3 && resolve()),
    );
    for (const message of ['one', '二', payload(size)]) socket.send(message);
    await all;
    socket.close();
    await once(socket, 'close');
    return [replies[0].toString(), replies[1].toString(), down(replies[2])];
  },
  native: async (url, size) => {
    trustGlobally();
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    await until(socket, 'open');
    const replies = [];
    const all = new Promise((resolve) =>
      socket.addEventListener('message', ({ data }) => replies.push(data) === 3 && resolve()),
    );
    for (const message of ['one', '二', payload(size)]) socket.send(message);
    await all;
    socket.close();
    await until(socket, 'close');
    return [replies[0], replies[1], down(Buffer.from(replies[2]))];
  },
};

const sql = {
  mysql2: async (options) => {
    const connection = await require('mysql2/promise').createConnection(options);
    return {
      ask: async (text, values) => (await connection.query(text, values))[0],
      end: () => connection.end(),
    };
  },
  mysql: async (options) => {
    const { promisify } = require('node:util');
    const connection = require('mysql').createConnection(options);
    await promisify(connection.connect).call(connection);
    return {
      ask: promisify(connection.query).bind(connection),
      end: promisify(connection.end).bind(connection),
    };
  },
};

const acts = {
  transfer: ({ client, base, size }, ctx) => transfers[client](base, size, ctx),
  socket: ({ client, url, size }) => sockets[client](url, size),

  /** Ports of this side as the server saw them: one for a kept connection. */
  keepAlive: async ({ base, keep, count }) => {
    const agent = new (moduleOf(base).Agent)({ keepAlive: keep, maxSockets: 1, ca });
    const ports = [];
    for (let i = 0; i < count; i += 1) {
      ports.push(JSON.parse((await send(`${base}/hello`, { agent })).bytes).port);
    }
    agent.destroy();
    return new Set(ports).size;
  },
  redirect: async ({ base, to }) => {
    const { default: followed } = await import('node-fetch');
    const url = `${base}/redirect?to=${encodeURIComponent(to)}`;
    const options = { httpsAgent: new https.Agent({ ca }) };
    const plain = await send(url);
    return {
      node: [plain.status, plain.headers.location],
      axios: (await require('axios').get(url, options)).data.path,
      fetch: (await (await fetch(url)).json()).path,
      nodeFetch: (await (await followed(url)).json()).path,
    };
  },

  mongodb: async ({ url, secure, size }) => {
    const { Binary, MongoClient } = require('mongodb');
    const client = new MongoClient(url, {
      serverSelectionTimeoutMS: 8000,
      ...(secure ? { tls: true, ca } : {}),
    });
    try {
      const orders = client.db('shop').collection('orders');
      await orders.deleteMany({});
      await orders.insertMany(Array.from({ length: 250 }, (_, n) => ({ n, text: `云 ${n}` })));
      await orders.updateOne({ n: 7 }, { $set: { paid: true } });
      const found = await orders.find({ n: { $lt: 200 } }, { batchSize: 50 }).toArray();
      await orders.insertOne({ n: -1, bytes: new Binary(payload(size)) });
      const big = await orders.findOne({ n: -1 });
      return {
        found: found.length,
        text: found[7].text,
        paid: await orders.countDocuments({ paid: true }),
        down: down(big.bytes.buffer),
      };
    } finally {
      await client.close();
    }
  },
  mysql: async ({ client, secure, size, ...options }) => {
    const ssl = secure ? { ssl: { ca } } : {};
    const { ask, end } = await sql[client]({ ...options, ...ssl });
    await ask('DROP TABLE IF EXISTS orders');
    await ask('CREATE TABLE orders (n INT PRIMARY KEY, text VARCHAR(40), bytes LONGBLOB)');
    for (let n = 0; n < 20; n += 1) await ask('INSERT INTO orders VALUES (?, ?, NULL)', [n, `云 ${n}`]);
    await ask('INSERT INTO orders VALUES (?, ?, ?)', [-1, 'big', payload(size)]);
    const [{ total }] = await ask('SELECT COUNT(*) AS total FROM orders');
    const [{ text }] = await ask('SELECT text FROM orders WHERE n = ?', [7]);
    const [{ bytes }] = await ask('SELECT bytes FROM orders WHERE n = -1');
    const [cipher] = await ask("SHOW STATUS LIKE 'Ssl_cipher'");
    await end();
    return { total, text, down: down(bytes), encrypted: cipher.Value !== '' };
  },
  ioredis: async ({ host, port }) => {
    const Redis = require('ioredis');
    const client = new Redis({ host, port, maxRetriesPerRequest: 1 });
    await client.set('k', 'v');
    const value = await client.get('k');
    await client.quit();
    return value;
  },
  pg: async ({ url }) => {
    const client = new (require('pg').Client)(url);
    await client.connect();
    const { rows } = await client.query('select 1 as n');
    await client.end();
    return rows;
  },

  proxied: async ({ base, size }, { mpserverless: { httpProxyClient } }) => {
    const body = 'x'.repeat(size);
    const up = await httpProxyClient.post(`${base}/sha`, body, { 'X-H': 'v' });
    const got = await httpProxyClient.get(`${base}/text/${size}`);
    return { up: JSON.parse(up.data), size: got.data.length };
  },
  proxyRefused: ({ url }, { mpserverless: { httpProxyClient } }) => httpProxyClient.get(url),
  interfaces: () => os.networkInterfaces(),
};

/** What a client does where it may not connect. */
const refused = {
  node: ({ base }) => send(base),
  fetch: ({ base }) => fetch(base),
  axios: ({ base }) => require('axios').get(base),
  got: async ({ base }) => (await import('got')).got(base, { retry: { limit: 0 } }),
  nodeFetch: async ({ base }) => (await import('node-fetch')).default(base),
  urllib2: ({ base }) => require('urllib2').request(base),
  urllib4: ({ base }) => require('urllib').request(base),
  undici: ({ base }) => require('undici').request(base),
  httpclient: ({ base }, { httpclient }) => httpclient.request(base),
  ws: async ({ host, port }) => {
    const WebSocket = require('ws');
    await once(new WebSocket(`ws://${host}:${port}/`), 'open');
  },
  native: ({ host, port }) => until(new WebSocket(`ws://${host}:${port}/`), 'open'),
  mongodb: async ({ host, port }) => {
    const { MongoClient } = require('mongodb');
    const options = { directConnection: true, serverSelectionTimeoutMS: 200 };
    const client = new MongoClient(`mongodb://${host}:${port}/`, options);
    await client.connect().finally(() => client.close());
  },
  mysql2: ({ host, port }) => sql.mysql2({ host, port, user: 'u' }),
  mysql: ({ host, port }) => sql.mysql({ host, port, user: 'u' }),
  ioredis: async ({ host, port }) => {
    const Redis = require('ioredis');
    const client = new Redis({ host, port, lazyConnect: true, retryStrategy: () => null });
    let last;
    client.on('error', (error) => (last = error));
    await client.connect().catch((error) => {
      throw last ?? error;
    });
  },
  pg: ({ host, port }) => new (require('pg').Client)(`postgres://u:p@${host}:${port}/d`).connect(),
};

/** Code and texts of an error and of its causes. */
function described(error) {
  const told = [];
  for (let at = error; at && told.length < 5; at = at.cause) {
    told.push([at.code, at.message, ...(at.errors ?? []).map((one) => one.message)]);
  }
  return told.flat().filter(Boolean).join(' | ');
}

module.exports = async (ctx) => {
  const { act, client } = ctx.args;
  if (act !== 'refused') return acts[act](ctx.args, ctx);
  return refused[client](ctx.args, ctx).then(() => null, described);
};
