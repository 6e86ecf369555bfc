// The worker's side of PROTOCOL.md for tests: starts the real index.mjs and talks to it over a real
// unix socket. Shares no code with src/.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url));
/** The Node.js that is tested; the tests themselves need a newer one than the bootstrap. */
const NODE = process.env.NODE_UNDER_TEST ?? process.execPath;
const INDEX = fileURLToPath(new URL('../../index.mjs', import.meta.url));

export const LIMITS = {
  resultMaxBytes: 6 * 1024 * 1024,
  callMaxBytes: 1024 * 1024,
  callsInFlightMax: 4,
  logLineMaxBytes: 32 * 1024,
  logLinesMax: 1000,
  logMaxBytes: 256 * 1024,
};

export class Worker {
  frames = []; // every frame that came, as {t, ..., payload}
  replies = () => undefined; // (frame) -> envelope, or undefined for no reply
  grants = true; // whether `reserve` frames are granted at once
  #waiters = [];
  #serial = 0;

  /** Starts a sandbox; it has said hello when this resolves. */
  static async start({ env = {}, nodeArgs = [] } = {}) {
    const worker = new Worker();
    worker.directory = mkdtempSync(join(tmpdir(), 'yb-'));
    const path = join(worker.directory, 'channel');
    const server = net.createServer();
    server.listen(path);
    await once(server, 'listening');
    worker.process = spawn(NODE, [...nodeArgs, INDEX], {
      cwd: worker.directory,
      env: { PATH: process.env.PATH, YUNHAN_CHANNEL: path, YUNHAN_SECRET: 'x', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    worker.stdout = collect(worker.process.stdout);
    worker.stderr = collect(worker.process.stderr);
    worker.exited = once(worker.process, 'close').then(([code, signal]) => {
      worker.ended = true;
      worker.#wake();
      return { code, signal };
    });
    [worker.socket] = await once(server, 'connection');
    server.close();
    worker.socket.on('data', (chunk) => worker.#read(chunk));
    worker.socket.on('error', () => {});
    worker.hello = await worker.frame('hello');
    return worker;
  }

  async stop() {
    this.process.kill('SIGKILL');
    await this.exited;
    this.socket.destroy();
    rmSync(this.directory, { recursive: true, force: true });
  }

  send(header, payload = '') {
    this.socket.write(encode(header, payload));
  }

  /** Binds a fixture (a file or folder below test/fixtures/) and resolves to the `bound` frame. */
  async bind(fixture, { name = 'probe', limits = {}, variables = '', files } = {}) {
    const header = {
      t: 'bind',
      id: 'load',
      space: 'mp-space',
      function: name,
      deployment: 'dep-1',
      codeDir: resolve(FIXTURES, fixture),
      limits: { ...LIMITS, ...limits },
      ...(files && { files }),
    };
    this.send(header, variables);
    return this.frame('bound');
  }

  /** Sends an invoke; returns its id. */
  begin(
    args,
    {
      id = `r${(this.#serial += 1)}`,
      env = { MP_SPACE_ID: 'mp-space', MP_SOURCE: 'client' },
      ...rest
    } = {},
  ) {
    this.send(
      { t: 'invoke', id, env, timeoutMs: 5000, ...rest },
      args === undefined ? '' : JSON.stringify(args),
    );
    return id;
  }

  /** Invokes and resolves to `{result, value, logs, frames}`. */
  async invoke(args, options) {
    return this.outcome(this.begin(args, options));
  }

  async outcome(id) {
    const result = await this.frame('result', id);
    return {
      result,
      value: result.payload === '' ? undefined : JSON.parse(result.payload),
      logs: this.logs(id),
    };
  }

  /** The log entries of an invocation so far, `[level, text]`. */
  logs(id) {
    const batches = this.frames.filter((frame) => frame.t === 'log' && frame.id === id);
    return batches
      .flatMap((frame) => JSON.parse(frame.payload))
      .map(([level, , text]) => [level, text]);
  }

  /**
   * Resolves to the first frame of that kind (and id); rejects when the process ends without it.
   */
  async frame(t, id) {
    for (;;) {
      const found = this.frames.find(
        (frame) => frame.t === t && (id === undefined || frame.id === id),
      );
      if (found) return found;
      if (this.ended) throw new Error(`no ${t} frame; stderr: ${this.stderr.text}`);
      await new Promise((wake) => this.#waiters.push(wake));
    }
  }

  #buffer = Buffer.alloc(0);

  #read(chunk) {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#buffer.length >= 8) {
      const header = this.#buffer.readUInt32BE(0);
      const payload = this.#buffer.readUInt32BE(4);
      if (this.#buffer.length < 8 + header + payload) break;
      const frame = JSON.parse(this.#buffer.toString('utf8', 8, 8 + header));
      frame.payload = this.#buffer.toString('utf8', 8 + header, 8 + header + payload);
      this.#buffer = this.#buffer.subarray(8 + header + payload);
      this.frames.push(frame);
      if (frame.t === 'call') this.#answer(frame);
      if (frame.t === 'reserve' && this.grants) this.grant(frame);
    }
    this.#wake();
  }

  #answer(frame) {
    const envelope = this.replies(frame);
    if (envelope !== undefined)
      this.send({ t: 'reply', id: frame.id, call: frame.call }, JSON.stringify(envelope));
  }

  grant({ id, call }) {
    this.send({ t: 'grant', id, call });
  }

  #wake() {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}

export function encode(header, payload) {
  const lengths = Buffer.alloc(8);
  const parts = [Buffer.from(JSON.stringify(header)), Buffer.from(payload)];
  lengths.writeUInt32BE(parts[0].length, 0);
  lengths.writeUInt32BE(parts[1].length, 4);
  return Buffer.concat([lengths, ...parts]);
}

function collect(stream) {
  const collected = { text: '' };
  stream.on('data', (chunk) => (collected.text += chunk));
  return collected;
}
