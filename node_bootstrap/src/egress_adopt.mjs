// Gives a socket that waits for its connection the handle of another one. Node does the same when
// it tries several addresses; versions without that get it step by step.
import net from 'node:net';
import { ReflectApply } from './primordials.mjs';

const { Socket, isIP } = net;
const REINITIALIZE = symbolOf(Socket.prototype, 'kReinitializeHandle'); // since Node 18.18, 20

/**
 * Makes the handle of a tunnel, connected and not reading, the handle of `socket` (a net.Socket or
 * TLSSocket). `address` undefined = not known.
 */
export function adopt(socket, { handle, headBytes, answerBytes }, address, port) {
  describe(handle, address, port);
  discount(handle, 'bytesWritten', headBytes);
  discount(handle, 'bytesRead', answerBytes);
  // Node makes the streams as new; but what was said before the connection, as end(), holds.
  socket._undestroy = () => {};
  try {
    if (REINITIALIZE !== undefined) ReflectApply(socket[REINITIALIZE], socket, [handle]);
    else if (isTls(socket)) adoptTlsByHand(socket, handle);
    else adoptByHand(socket, handle);
  } finally {
    delete socket._undestroy;
  }
  if (isTls(socket)) {
    socket.ssl = socket._handle;
    // These were switched on in the handle that is gone.
    if (socket.listenerCount('session') > 0) socket._handle.enableSessionCallbacks();
    if (socket.listenerCount('keylog') > 0) socket._handle.enableKeylogCallback();
  }
}

/** Hands over bytes that were read before the socket had its handle. False = it wants no more. */
export function feed(socket, bytes) {
  if (bytes.length === 0) return true;
  if (isTls(socket)) {
    socket._handle.receive(bytes);
    return true;
  }
  const callback = socket[symbolOf(socket, 'kBufferCb')];
  if (typeof callback !== 'function') return socket.push(bytes);
  // The socket was made with `onread`.
  let more = true;
  for (let rest = bytes; rest.length > 0;) {
    const buffer = socket[symbolOf(socket, 'kBuffer')];
    const size = Math.min(rest.length, buffer.length);
    buffer.set(rest.subarray(0, size));
    more = callback(size, buffer) !== false;
    rest = rest.subarray(size);
  }
  return more;
}

const isTls = (socket) => typeof socket._wrapHandle === 'function';

function symbolOf(object, name) {
  return Object.getOwnPropertySymbols(object).find((symbol) => symbol.description === name);
}

/** A unix socket has no addresses; people read them, also through TLS. */
function describe(handle, address, port) {
  const family = isIP(address) === 6 ? 'IPv6' : 'IPv4';
  const answer = (value) => (out) => {
    Object.assign(out, value);
    return 0;
  };
  handle.getpeername = answer(address === undefined ? { port } : { address, family, port });
  handle.getsockname = answer({ address: family === 'IPv6' ? '::' : '0.0.0.0', family, port: 0 });
}

/** The bytes of CONNECT are not the user's. */
function discount(handle, counter, bytes) {
  let owner = handle;
  while (owner !== null && !Object.hasOwn(owner, counter)) owner = Object.getPrototypeOf(owner);
  const read = owner && Object.getOwnPropertyDescriptor(owner, counter).get;
  if (!read) return;
  const get = () => ReflectApply(read, handle, []) - bytes;
  Object.defineProperty(handle, counter, { get, configurable: true });
}

function adoptByHand(socket, handle) {
  const owner = symbolOf(handle, 'owner_symbol');
  const asyncId = symbolOf(socket, 'async_id_symbol');
  const previous = handle[owner];
  handle[owner] = socket;
  socket[asyncId] = previous?.[asyncId] ?? handle.getAsyncId();
  socket._handle = handle;
  let buffer = socket[symbolOf(socket, 'kBuffer')];
  const generate = socket[symbolOf(socket, 'kBufferGen')];
  if (typeof generate === 'function') {
    buffer = generate();
    socket[symbolOf(socket, 'kBuffer')] = buffer;
  }
  if (buffer) handle.useUserBuffer(buffer);
}

function adoptTlsByHand(socket, handle) {
  const placeholder = socket._handle;
  const servername = placeholder.getServername();
  const session = placeholder.getSession();
  const read = placeholder.onread;
  const owner = symbolOf(placeholder, 'owner_symbol');
  const asyncId = symbolOf(socket, 'async_id_symbol');
  const ssl = socket._wrapHandle({ _handle: handle, on() {} });
  ssl._parentWrap = null; // nobody else to close
  placeholder._parent.close();
  socket._handle = ssl;
  ssl[owner] = socket;
  ssl.onread = read;
  socket[asyncId] = ssl.getAsyncId();
  socket._init(null, null);
  if (session) socket.setSession(session);
  if (servername) socket.setServername(servername);
}
