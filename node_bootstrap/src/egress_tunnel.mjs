// One CONNECT over the egress socket: from a host and a port to a handle that carries the bytes.
import net from 'node:net';
import { domainToASCII } from 'node:url';
import { answerError, connectError } from './egress_errors.mjs';

/** An answer longer than this is not one of the worker's. */
const HEAD_MAX_BYTES = 8 * 1024;
const NAME_MAX = 253;
const NAME = /^[\w.-]+$/;
/** The worker's queue of new connections is full: try again, for about ten seconds in all. */
const DIALS_MAX = 110;
const DIAL_PAUSE_MS = 10; // more each time, up to
const DIAL_PAUSE_MAX_MS = 100;

const { Socket, isIP } = net;
const after = setTimeout;

/** `host` as the wire has it, without brackets; null when it cannot be the name of a host. */
export function asciiHost(host) {
  if (isIP(host) !== 0) return host.includes('%') ? null : host;
  const ascii = NAME.test(host) ? host : domainToASCII(host);
  return NAME.test(ascii) && ascii.length <= NAME_MAX ? ascii : null;
}

/**
 * Opens a tunnel. `dial(socket)` connects a new socket to the worker. `done(error)` or
 * `done(null, tunnel)` is called once, later, unless the returned function cancels it before.
 *
 * A tunnel is `{handle, headBytes, answerBytes, rest, address}`: the handle does not read, the
 * sizes are those of the request and its answer, `rest` are bytes of the peer that came with the
 * answer, `address` is the peer's where the worker names it, else undefined.
 */
export function openTunnel(dial, host, port, done) {
  const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const head = `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`;
  let abandon = () => {};
  const attempt = (number) => {
    const raw = new Socket();
    let settled = false;
    let handle = null;
    let answer = Buffer.alloc(0);
    abandon = () => {
      settled = true;
      raw.destroy();
      handle?.close();
    };
    const settle = (act) => {
      if (settled) return;
      settled = true;
      act();
    };
    raw.on('error', (error) => {
      settle(() => {
        if (error.code === 'EAGAIN' && number < DIALS_MAX) {
          const pauseMs = Math.min(number * DIAL_PAUSE_MS, DIAL_PAUSE_MAX_MS);
          const timer = after(attempt, pauseMs, number + 1);
          abandon = () => clearTimeout(timer);
        } else {
          done(connectError('ENETUNREACH', host, port, `no way out of the sandbox: ${error.code}`));
        }
      });
    });
    raw.on('close', () => {
      settle(() =>
        done(connectError('ECONNRESET', host, port, 'the egress connection was closed')),
      );
    });
    raw.on('data', (chunk) => {
      answer = answer.length === 0 ? chunk : Buffer.concat([answer, chunk]);
      const end = answer.indexOf('\r\n\r\n');
      if (end < 0 && answer.length <= HEAD_MAX_BYTES) return;
      const { status, headers } = parseHead(answer.toString('latin1', 0, Math.max(end, 0)));
      if (status !== 200) {
        settle(() => done(answerError(status, headers, host, port)));
        raw.destroy();
        return;
      }
      handle = detach(raw);
      // Not from within the reading of the old socket, which still looks at the handle.
      process.nextTick(settle, () => {
        done(null, {
          handle,
          headBytes: head.length,
          answerBytes: end + 4,
          rest: answer.subarray(end + 4),
          address:
            isIP(headers['x-egress-address']) === 0 ? undefined : headers['x-egress-address'],
        });
      });
    });
    dial(raw);
    raw.write(head, 'latin1');
  };
  attempt(1);
  return () => abandon();
}

function parseHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? 0);
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status, headers };
}

/** Takes the handle out of a connected socket, which is closed without it. */
function detach(raw) {
  const handle = raw._handle;
  handle.readStop();
  handle.reading = false;
  raw._handle = null;
  raw.removeAllListeners();
  raw.destroy();
  return handle;
}
