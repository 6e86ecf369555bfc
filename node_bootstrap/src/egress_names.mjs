// What cannot leave a sandbox fails at once and says why: names are resolved by the worker, as a
// part of a connection, and there is no UDP. (dns.resolve* fails at once by itself.)
import { createRequire } from 'node:module';
import { isIP } from 'node:net';
import { lookupError } from './egress_errors.mjs';
import { ObjectDefineProperty, ReflectApply } from './primordials.mjs';

const require = createRequire(import.meta.url);
const systemLookups = new WeakSet();

/** True for dns.lookup, native or ours: such a `lookup` option asks for nothing special. */
export function isSystemLookup(lookup) {
  return systemLookups.has(lookup);
}

/** dns.lookup and its promise know addresses and localhost, nothing else. */
export function guardLookup() {
  const dns = require('node:dns');
  const native = dns.lookup;
  const nativePromise = dns.promises.lookup;
  systemLookups.add(native);
  const lookup = function lookup(hostname, ...rest) {
    const callback = rest[rest.length - 1];
    if (isLocal(hostname) || typeof callback !== 'function') {
      return ReflectApply(native, dns, [numeric(hostname, rest[0]), ...rest]);
    }
    process.nextTick(callback, lookupError(hostname));
    return {};
  };
  systemLookups.add(lookup);
  // util.promisify reads from it what the promise shall give.
  Object.defineProperties(lookup, Object.getOwnPropertyDescriptors(native));
  dns.lookup = lookup;
  dns.promises.lookup = async function lookup(hostname, ...rest) {
    if (!isLocal(hostname)) throw lookupError(hostname);
    return ReflectApply(nativePromise, dns.promises, [numeric(hostname, rest[0]), ...rest]);
  };
}

/** Everything that would open a UDP port fails with EACCES. */
export function guardDatagrams() {
  const { Socket } = require('node:dgram');
  for (const method of ['bind', 'connect', 'send']) {
    ObjectDefineProperty(Socket.prototype, method, {
      __proto__: null,
      configurable: true,
      writable: true,
      value(...args) {
        const error = datagramError(method);
        const callback = method === 'send' ? args[args.length - 1] : undefined;
        process.nextTick(() => {
          if (typeof callback === 'function') callback(error);
          else this.emit('error', error);
        });
        return method === 'bind' ? this : undefined;
      },
    });
  }
}

const isLocal = (name) => typeof name !== 'string' || !name || isIP(name) !== 0 || isHome(name);
const isHome = (name) => name.toLowerCase() === 'localhost';

/** A sandbox may have no hosts file. */
function numeric(hostname, options) {
  if (typeof hostname !== 'string' || !isHome(hostname)) return hostname;
  const family = typeof options === 'number' ? options : options?.family;
  return family === 6 || family === 'IPv6' ? '::1' : '127.0.0.1';
}

function datagramError(syscall) {
  const error = new Error(
    `${syscall} EACCES: UDP does not leave a sandbox; use a TCP connection instead`,
  );
  return Object.assign(error, { errno: -13, code: 'EACCES', syscall });
}
