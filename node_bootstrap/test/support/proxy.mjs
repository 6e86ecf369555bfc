// The worker's side of the egress socket for tests: an HTTP CONNECT proxy on a unix socket that
// notes every request. By default it connects where it is told to.
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const OK = 'HTTP/1.1 200 Connection established\r\n\r\n';

export class Proxy {
  /** `host:port` of every CONNECT, in order. */
  targets = [];
  /** Bytes that went through tunnels to the outside. */
  sentBytes = 0;
  #sockets = new Set();

  /**
   * `answer(target)` may return text that is sent instead of a connection, or `{host, port}` to
   * connect to; `serve(socket, target)` may take over the tunnel and return true.
   */
  static async start({ answer = () => undefined, serve = () => false } = {}) {
    const proxy = new Proxy();
    proxy.directory = mkdtempSync(join(tmpdir(), 'yb-egress-'));
    proxy.path = join(proxy.directory, 'egress');
    proxy.answer = answer;
    proxy.serve = serve;
    proxy.server = net.createServer({ allowHalfOpen: true }, (socket) => proxy.#accept(socket));
    await new Promise((resolve) => proxy.server.listen({ path: proxy.path, backlog: 8 }, resolve));
    return proxy;
  }

  async stop() {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
    rmSync(this.directory, { recursive: true, force: true });
  }

  #keep(socket) {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
  }

  #accept(socket) {
    this.#keep(socket);
    let head = Buffer.alloc(0);
    const read = (chunk) => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', read);
      socket.pause();
      if (head.length > end + 4) socket.unshift(head.subarray(end + 4));
      this.#connect(socket, head.toString('latin1', 0, end));
    };
    socket.on('data', read);
  }

  #connect(socket, head) {
    const match = /^CONNECT (\[[0-9a-f:.]+\]|[\w.-]+):(\d+) HTTP\/1\.1\r\nHost: \1:\2$/i.exec(head);
    if (match === null) {
      socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
      return;
    }
    const target = `${match[1]}:${match[2]}`;
    this.targets.push(target);
    const answer = this.answer(target);
    if (typeof answer === 'string') {
      socket.end(answer);
      return;
    }
    if (this.serve(socket, target)) {
      socket.resume();
      return;
    }
    const { host, port } = answer ?? { host: match[1].replace(/[[\]]/g, ''), port: +match[2] };
    const peer = net.connect({ host, port, allowHalfOpen: true });
    this.#keep(peer);
    peer.once('connect', () => {
      socket.write(OK.replace('\r\n\r\n', `\r\nX-Egress-Address: ${peer.remoteAddress}\r\n\r\n`));
      socket.on('data', (chunk) => (this.sentBytes += chunk.length));
      socket.pipe(peer).pipe(socket);
    });
    peer.once('error', ({ code }) => {
      if (peer.bytesRead === 0) {
        socket.end(`HTTP/1.1 502 Bad Gateway\r\nX-Egress-Error: ${code}\r\n\r\n`);
      }
    });
    peer.once('close', () => socket.destroySoon());
    socket.once('close', () => peer.destroy());
  }
}
