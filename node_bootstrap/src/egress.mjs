// Egress: a process without a network reaches the outside through the worker's CONNECT socket.
//
// `net.Socket.prototype.connect` is the one place that every TCP client of Node goes through, from
// http and fetch to database drivers; TLS and HTTP/2 lie above it. This is comfort, not a wall:
// code that undoes it has no network at all.
import net from 'node:net';
import { adopt, feed } from './egress_adopt.mjs';
import { connectError, lookupError } from './egress_errors.mjs';
import { guardInterfaces } from './egress_interfaces.mjs';
import { guardDatagrams, guardLookup, isSystemLookup } from './egress_names.mjs';
import { asciiHost, openTunnel } from './egress_tunnel.mjs';
import { ReflectApply } from './primordials.mjs';

const { Socket, isIP, _normalizeArgs: normalizeArgs } = net;
const connectNative = Socket.prototype.connect;
const resetNative = Socket.prototype.resetAndDestroy;
const tunnelled = new WeakSet();

/** Sends every new TCP connection of this process through the CONNECT socket at `path`. */
export function installEgress(path) {
  const dial = (raw) => ReflectApply(connectNative, raw, [{ path }]);
  Socket.prototype.connect = function connect(...args) {
    const [options, listener] = Array.isArray(args[0]) ? args[0] : normalizeArgs(args);
    // Unix sockets, and what Node refuses with an error of its own, stay with Node.
    if (!isDialable(options) || this._parent?.connecting) {
      return ReflectApply(connectNative, this, args);
    }
    begin(this, options, listener ?? null, dial);
    return this;
  };
  if (resetNative !== undefined) {
    // The native one insists on a TCP handle.
    Socket.prototype.resetAndDestroy = function resetAndDestroy() {
      return tunnelled.has(this) ? this.destroy() : ReflectApply(resetNative, this, []);
    };
  }
}

let guarded = false;

/** The rest, which costs a millisecond: needed when user code is there, not before. */
export function guardTheRest() {
  if (guarded) return;
  guarded = true;
  guardLookup();
  guardDatagrams();
  guardInterfaces();
}

function isDialable({ path, port, host, lookup, localAddress }) {
  if (path) return false;
  if (typeof port !== 'number' && (typeof port !== 'string' || port.trim() === '')) return false;
  if (+port !== +port >>> 0 || +port > 65535) return false;
  if (host != null && typeof host !== 'string') return false;
  if (lookup != null && typeof lookup !== 'function') return false;
  return !localAddress || isIP(localAddress) !== 0;
}

function begin(socket, options, listener, dial) {
  if (listener !== null) socket.once('connect', listener);
  if (socket.destroyed) renew(socket);
  tunnelled.add(socket);
  socket._unrefTimer();
  socket.connecting = true;
  const host = options.host || 'localhost';
  const port = +options.port;
  let cancel = () => {};
  const give = () => cancel();
  socket.once('close', give);
  const fail = (error) => {
    socket.removeListener('close', give);
    socket.destroy(error);
  };
  const open = (name, address) => {
    const ascii = asciiHost(name);
    if (ascii === null) return later(() => fail(lookupError(host)));
    if (port === 0) return later(() => fail(connectError('ECONNREFUSED', host, port)));
    cancel = openTunnel(dial, ascii, port, (error, tunnel) => {
      socket.removeListener('close', give);
      if (error !== null) {
        if (error.code === 'ENOTFOUND') socket.emit('lookup', error, undefined, undefined, host);
        socket.destroy(error);
      } else {
        finish(socket, tunnel, host, port, address);
      }
    });
  };
  const later = (act) => process.nextTick(() => socket.destroyed || act());
  if (isIP(host) !== 0 || options.lookup == null || isSystemLookup(options.lookup)) {
    open(host, isIP(host) === 0 ? undefined : host);
  } else {
    lookUp(options, host, (error, address) => {
      if (socket.destroyed) return;
      socket.emit('lookup', error, address, isIP(address), host);
      if (error) fail(error);
      else open(address, address);
    });
  }
}

/** A socket that was closed and connects again. */
function renew(socket) {
  socket._handle = null;
  socket._peername = null;
  socket._sockname = null;
  if (socket.write !== Socket.prototype.write) socket.write = Socket.prototype.write;
  socket._undestroy();
}

/** The caller's own `lookup`, asked as Node asks it. Of several addresses the first one counts. */
function lookUp(options, host, done) {
  const { family, hints, lookup, localAddress } = options;
  const several = options.autoSelectFamily ?? net.getDefaultAutoSelectFamily?.() ?? false;
  const all = several && family !== 4 && family !== 6 && !localAddress;
  const request = { family, hints: hints || 0, ...(all ? { all } : {}) };
  let answered = false;
  ReflectApply(lookup, undefined, [
    host,
    request,
    (error, found) => {
      if (answered) return;
      answered = true;
      const address = Array.isArray(found) ? found[0]?.address : found;
      if (!error && isIP(address) === 0) done(lookupError(host));
      else done(error ?? null, address);
    },
  ]);
}

/** What Node does when a connection is there, with the handle of the tunnel. */
function finish(socket, tunnel, host, port, known) {
  const address = tunnel.address ?? known;
  try {
    adopt(socket, tunnel, address, port);
  } catch (error) {
    socket.destroy(error); // not an error that nobody caught: neighbours would pay for it
    return;
  }
  socket.connecting = false;
  if (known === undefined) {
    socket.emit('lookup', null, address, address === undefined ? undefined : isIP(address), host);
  }
  if (socket.destroyed) return;
  socket._unrefTimer();
  socket.emit('connect');
  socket.emit('ready');
  if (socket.destroyed) return;
  const more = feed(socket, tunnel.rest);
  if (more && socket.readable && !socket.isPaused()) socket.read(0);
}
