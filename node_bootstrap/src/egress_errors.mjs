// Failed connections as the errors that Node would give: code, errno, syscall, address, port.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const UV_ENOTFOUND = -3008; // uv.h: UV_EAI_NONAME; Node calls it ENOTFOUND
const CODE = /^E[A-Z0-9_]{1,30}$/;

/** A name that does not exist, or cannot be one. */
export function lookupError(hostname) {
  const error = new Error(`getaddrinfo ENOTFOUND ${hostname}`);
  return Object.assign(error, {
    errno: UV_ENOTFOUND,
    code: 'ENOTFOUND',
    syscall: 'getaddrinfo',
    hostname,
  });
}

export function connectError(code, address, port, reason) {
  const detail = reason ? ` (${reason})` : '';
  return Object.assign(new Error(`connect ${code} ${address}:${port}${detail}`), {
    errno: errnoOf(code),
    code,
    syscall: 'connect',
    address,
    port,
  });
}

/** The worker's refusal; `headers` by their lower-case names. */
export function answerError(status, headers, host, port) {
  const named = headers['x-egress-error'];
  const code = CODE.test(named) ? named : 'ECONNRESET';
  if (code === 'ENOTFOUND') return lookupError(host);
  // Of what was allowed and failed the code says all, as in Node's own messages.
  let reason = status === 502 ? undefined : headers['x-egress-reason'];
  // The worker says what an operator can do about it: it knows the mode and the rules.
  if (status === 403) reason = `refused by policy: ${reason || 'not a public address'}`;
  if (named === undefined) reason = `the egress proxy answered ${status}`;
  return connectError(code, headers['x-egress-address'] ?? host, port, reason);
}

function errnoOf(code) {
  const number = require('node:os').constants.errno[code];
  return number === undefined ? undefined : -number;
}
