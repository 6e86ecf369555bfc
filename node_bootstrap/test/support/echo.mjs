// Servers on loopback that the tests' proxy connects tunnels to. Each is gone when its test ends.
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createSecureServer, createServer as createHttp2 } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { certificate, key } from './certificate.mjs';

/** Listens on a free port of loopback and resolves to it. */
export async function listen(t, server) {
  const sockets = new Set();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return server.address().port;
}

/** Answers when the client has half-closed. */
const echo = async (socket) => {
  let text = '';
  try {
    for await (const chunk of socket) text += chunk;
    socket.end(`${text}-pong`);
  } catch {
    socket.destroy();
  }
};

async function answer(request, response) {
  let size = 0;
  for await (const chunk of request) size += chunk.length;
  response.end(`${request.method} ${request.url} ${size}`);
}

export const servers = {
  echo: () => net.createServer({ allowHalfOpen: true }, echo),
  tls: () =>
    tls.createServer(
      { key, cert: certificate, ALPNProtocols: ['echo'], allowHalfOpen: true },
      echo,
    ),
  http: () => createHttp(answer),
  https: () => createHttps({ key, cert: certificate }, answer),
  http2: () => createHttp2(answer),
  http2s: () => createSecureServer({ key, cert: certificate }, answer),
};
