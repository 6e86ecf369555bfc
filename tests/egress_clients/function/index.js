// A function that uses network clients from npm as their manuals show it.
const acts = {
  axios: async ({ url }) => (await require('axios').post(url, { a: 1 })).data,
  nodeFetch: async ({ url }) => {
    const { default: fetch } = await import('node-fetch');
    return (await fetch(url, { method: 'POST', body: '{"a":1}' })).text();
  },
  got: async ({ url, ca }) => {
    const { got } = await import('got');
    const timeout = { lookup: 2000, connect: 2000, secureConnect: 2000, request: 5000 };
    const https = { certificateAuthority: ca };
    return got.post(url, { json: { a: 1 }, timeout, https, retry: { limit: 0 } }).text();
  },
  urllib2: async ({ url }) => {
    const { data } = await require('urllib2').request(url, { method: 'POST', data: { a: 1 } });
    return data.toString();
  },
  urllib4: async ({ url }) => {
    const { request } = require('urllib');
    return (await request(url, { method: 'POST', data: { a: 1 }, dataType: 'text' })).data;
  },
  undici: async ({ url, ca }) => {
    const { Agent, request } = require('undici');
    const dispatcher = new Agent({ connect: { ca } });
    const { body } = await request(url, { method: 'POST', body: '{"a":1}', dispatcher });
    const text = await body.text();
    await dispatcher.close();
    return text;
  },
  ws: async ({ url, ca }) => {
    const WebSocket = require('ws');
    const socket = new WebSocket(url, { ca });
    const reply = await new Promise((resolve, reject) => {
      socket.on('open', () => socket.send('ping'));
      socket.on('message', (data) => resolve(data.toString()));
      socket.on('error', reject);
    });
    socket.close();
    return reply;
  },
  mongodb: async ({ url, ca }) => {
    const { MongoClient } = require('mongodb');
    const client = new MongoClient(url, {
      directConnection: true,
      serverSelectionTimeoutMS: 5000,
      ...(ca ? { tls: true, ca } : {}),
    });
    try {
      const documents = client.db('shop').collection('orders');
      return (await documents.find({ n: 1 }).toArray()).map(({ n, text }) => [n, text]);
    } finally {
      await client.close();
    }
  },
  mysql2: async ({ host, port, password }) => {
    const { createConnection } = require('mysql2/promise');
    const connection = await createConnection({ host, port, user: 'u', password });
    const [rows] = await connection.query('select 1');
    await connection.end();
    return rows.map((row) => ({ ...row }));
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
    const { Client } = require('pg');
    const client = new Client(url);
    await client.connect();
    const { rows } = await client.query('select 1 as n');
    await client.end();
    return rows;
  },
};

const refused = {
  axios: ({ url }) => require('axios').get(url),
  mongodb: async ({ url }) => {
    const { MongoClient } = require('mongodb');
    const client = new MongoClient(url, { directConnection: true, serverSelectionTimeoutMS: 50 });
    await client.connect().finally(() => client.close());
  },
  mysql2: ({ host, port }) => require('mysql2/promise').createConnection({ host, port }),
  pg: ({ url }) => new (require('pg').Client)(url).connect(),
};

module.exports = async ({ args }) => {
  if (!args.refused) return acts[args.client](args);
  const error = await refused[args.client](args).then(
    () => null,
    (reason) => reason,
  );
  return error && { code: error.code, message: error.message };
};
