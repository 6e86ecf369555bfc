// Every builtin that the bootstrap might still use, replaced or poisoned.
const net = require('net');
const stream = require('stream');
const events = require('events');
let runs = 0;
module.exports = async (ctx) => {
  runs += 1;
  if (runs > 1) return { did: { runs }, got: [] };
  const did = { replaced: 0, poisoned: 0 };
  const spoil = () => { throw new Error('spoilt'); };
  for (const [object, names] of [
    [net.Socket.prototype, ['write', 'end', 'connect', 'destroy', 'emit', '_write', '_writeGeneric']],
    [stream.Writable.prototype, ['write', 'end']], [events.prototype, ['emit', 'on']],
    [Buffer, ['from', 'alloc', 'concat', 'byteLength']], [Buffer.prototype, ['writeUInt32BE', 'copy', 'subarray', 'write']],
    [JSON, ['parse', 'stringify']], [Promise.prototype, ['catch', 'finally']], [Reflect, ['apply', 'ownKeys']],
    [Map.prototype, ['get', 'set', 'has', 'delete']], [Array.prototype, ['push', 'shift', 'map', 'filter']],
    [String.prototype, ['slice', 'replace']], [Function.prototype, ['call', 'apply']], [Date, ['now']],
  ]) for (let i = 0; i < names.length; i += 1) try { object[names[i]] = spoil; if (object[names[i]] === spoil) did.replaced += 1; } catch {}
  for (const name of ['t', 'id', 'ok', 'kind', 'fault', 'recycle', 'toJSON', 'get', 'set', 'value', 'then', 'fd', 'path', 'onread']) {
    try { Object.defineProperty(Object.prototype, name, { configurable: true, get() { did.poisoned += 1; return undefined; }, set() {} }); } catch {}
  }
  void ({}).kind; // one that was surely read
  Array.prototype[Symbol.iterator] = spoil;
  ctx.logger.info('still heard');
  return { did: { replaced: did.replaced, poisoned: did.poisoned }, got: [] };
};
