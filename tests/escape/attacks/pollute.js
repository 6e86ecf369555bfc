// Every builtin that the bootstrap might still use, replaced or poisoned.
const net = require('net');
const stream = require('stream');
const events = require('events');
module.exports = async () => {
  const spoil = () => { throw new Error('spoilt'); };
  for (const [object, names] of [
    [net.Socket.prototype, ['write', 'end', 'connect', 'destroy', 'emit', '_write', '_writeGeneric']],
    [stream.Writable.prototype, ['write', 'end']], [events.prototype, ['emit', 'on']],
    [Buffer, ['from', 'alloc', 'concat', 'byteLength']], [Buffer.prototype, ['writeUInt32BE', 'copy', 'subarray', 'write']],
    [JSON, ['parse', 'stringify']], [Promise.prototype, ['catch', 'finally']], [Reflect, ['apply', 'ownKeys']],
    [Map.prototype, ['get', 'set', 'has', 'delete']], [Array.prototype, ['push', 'shift', 'map', 'filter']],
    [String.prototype, ['slice', 'replace']], [Function.prototype, ['call', 'apply']], [Date, ['now']],
  ]) for (const name of names) try { object[name] = spoil; } catch {}
  for (const name of ['t', 'id', 'ok', 'kind', 'fault', 'recycle', 'toJSON', 'get', 'set', 'value', 'then', 'fd', 'path', 'onread']) {
    try { Object.defineProperty(Object.prototype, name, { configurable: true, get() { return undefined; }, set() {} }); } catch {}
  }
  Array.prototype[Symbol.iterator] = spoil;
  return [];
};
