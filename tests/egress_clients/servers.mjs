// Servers for the clients, each as much of its protocol as the clients of this folder speak.
import { createRequire } from 'node:module';
import net from 'node:net';

const require = createRequire(import.meta.url);

/** Attaches an echo of WebSocket messages to an HTTP server. */
export function echoMessages(server) {
  const { WebSocketServer } = require('ws');
  const messages = new WebSocketServer({ server });
  messages.on('connection', (socket) =>
    socket.on('message', (data) => socket.send(`${data}-pong`)),
  );
  return server;
}

/** The bytes of a socket in messages: `size(buffer)` gives a message's length, 0 = unknown. */
function inMessages(socket, size, onMessage) {
  let buffer = Buffer.alloc(0);
  socket.on('data', (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (let length = size(buffer); length > 0 && length <= buffer.length; length = size(buffer)) {
      const message = buffer.subarray(0, length);
      buffer = buffer.subarray(length);
      onMessage(message);
    }
  });
  socket.on('error', () => {});
}

/** A MongoDB server with one document in every collection. */
export function mongoConnection(socket) {
  const { BSON } = require('mongodb');
  const answer = (command) => {
    const [name] = Object.keys(command);
    if (/^(hello|isMaster|ismaster)$/.test(name)) {
      return {
        ok: 1,
        isWritablePrimary: true,
        ismaster: true,
        minWireVersion: 0,
        maxWireVersion: 21,
      };
    }
    if (name !== 'find') return { ok: 1 };
    const firstBatch = [{ n: 1, text: 'one' }];
    return {
      ok: 1,
      cursor: { id: BSON.Long.ZERO, ns: `${command.$db}.${command.find}`, firstBatch },
    };
  };
  const header = (length, id, code) => {
    const bytes = Buffer.alloc(16);
    [length + 16, 1, id, code].forEach((value, i) => bytes.writeInt32LE(value, 4 * i));
    return bytes;
  };
  const size = (buffer) => (buffer.length < 4 ? 0 : buffer.readInt32LE(0));
  inMessages(socket, size, (message) => {
    const id = message.readInt32LE(4);
    if (message.readInt32LE(12) === 2013) {
      const body = BSON.serialize(answer(BSON.deserialize(message.subarray(21))));
      socket.write(Buffer.concat([header(body.length + 5, id, 2013), Buffer.alloc(5), body]));
    } else {
      // OP_QUERY: the first hello of a driver
      const start = message.indexOf(0, 20) + 1 + 8;
      const body = BSON.serialize(answer(BSON.deserialize(message.subarray(start))));
      const reply = Buffer.alloc(20);
      reply.writeInt32LE(1, 16);
      socket.write(Buffer.concat([header(body.length + 20, id, 1), reply, body]));
    }
  });
}

/** A MySQL server that answers every query with one row. It speaks first. */
export function mysqlServer() {
  const { createServer } = require('mysql2');
  const server = createServer();
  server.on('connection', (connection) => {
    connection.serverHandshake({
      protocolVersion: 10,
      serverVersion: '8.0.0',
      connectionId: 1,
      statusFlags: 2,
      characterSet: 8,
      capabilityFlags: 0xffffff & ~0x800 & ~0x20, // no TLS, no compression
      authCallback: (_, done) => done(null, null),
    });
    connection.on('query', () => {
      const column = {
        catalog: 'def',
        schema: '',
        table: '',
        orgTable: '',
        name: '1',
        orgName: '',
        characterSet: 33,
        columnLength: 2,
        columnType: 3,
        flags: 1,
        decimals: 0,
      };
      connection.writeTextResult([{ 1: 1 }], [column]);
    });
    connection.on('error', () => {});
  });
  return server;
}

/** A Redis server with strings. */
export function redisServer() {
  const values = new Map();
  const commands = {
    set: (key, value) => (values.set(key, value), '+OK'),
    get: (key) => `$${values.get(key).length}\r\n${values.get(key)}`,
    info: () => '$12\r\nredis_mode:x',
  };
  const size = (buffer) => {
    // *N, then N times $length and text
    const lines = buffer.toString('latin1').split('\r\n');
    const count = 1 + 2 * Number(lines[0].slice(1));
    if (lines.length <= count) return 0;
    return lines.slice(0, count).join('\r\n').length + 2;
  };
  return net.createServer((socket) => {
    inMessages(socket, size, (message) => {
      const [name, ...args] = message
        .toString('latin1')
        .split('\r\n')
        .filter((_, i) => i > 0 && i % 2 === 0);
      const reply = commands[name.toLowerCase()] ?? (() => '+OK');
      socket.write(`${reply(...args)}\r\n`);
      if (name.toLowerCase() === 'quit') socket.end();
    });
  });
}

/** A PostgreSQL server that answers every query with the row n = 1. */
export function postgresServer() {
  const part = (type, body) => {
    const bytes = Buffer.alloc(5);
    bytes.write(type);
    bytes.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([bytes, body]);
  };
  const int32 = (value) => Buffer.from([value >> 24, value >> 16, value >> 8, value]);
  const ready = part('Z', Buffer.from('I'));
  // one column, type int4, as text
  const hex = (text) => Buffer.from(text.replaceAll(' ', ''), 'hex');
  const columns = part('T', hex('0001 6e00 00000000 0000 00000017 0004 ffffffff 0000'));
  const row = part('D', hex('0001 00000001 31'));
  const done = part('C', Buffer.from('SELECT 1\0'));
  return net.createServer((socket) => {
    let started = false;
    const size = (buffer) => {
      if (buffer.length < 5) return 0;
      return started ? buffer.readInt32BE(1) + 1 : buffer.readInt32BE(0);
    };
    inMessages(socket, size, (message) => {
      if (!started) {
        started = true;
        socket.write(Buffer.concat([part('R', int32(0)), ready]));
      } else if (message[0] === 0x51) {
        socket.write(Buffer.concat([columns, row, done, ready]));
      } else {
        socket.end();
      }
    });
  });
}
