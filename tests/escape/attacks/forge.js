// Frames that the bootstrap would never send, on its own channel.
const fs = require('fs');
function frame(header, payload = '', lengths = []) {
  const head = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const body = Buffer.from(payload);
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32BE(lengths[0] ?? head.length, 0);
  sizes.writeUInt32BE(lengths[1] ?? body.length, 4);
  return Buffer.concat([sizes, head, body]);
}
const usage = { runMs: 1, cpuMs: 1, rssMb: 1 };
const FRAMES = {
  'a result of another invocation': () => frame({ t: 'result', id: 'innocent', ok: true, ...usage }, '["forged"]'),
  'a call of another invocation': () => frame({ t: 'call', id: 'innocent', call: 1, method: 'x' }, '{}'),
  'a log of another invocation': () => frame({ t: 'log', id: 'innocent', cut: false }, '[["info",1,"forged"]]'),
  'a second greeting': () => frame({ t: 'hello', protocol: 1, node: 'v1.0.0', pid: 1 }),
  'a second bind': () => frame({ t: 'bound', id: 'load', ok: true, loadMs: 1 }),
  'a frame of the worker': () => frame({ t: 'invoke', id: 'x', env: {}, timeoutMs: 1 }),
  'a header without end': () => frame('{}', '', [0xffffffff, 0]),
  'a payload without end': () => frame({ t: 'result', id: 'req', ok: true, ...usage }, '', [undefined, 0xffffffff]),
  'a result beyond its bound': () => frame({ t: 'result', id: 'req', ok: true, ...usage }, '', [undefined, 200 << 20]),
  'numbers that are none': () => frame('{"t":"result","id":"req","ok":true,"runMs":1e999,"cpuMs":-1,"rssMb":"x"}', '[]'),
  'a deep header': () => frame(`{"t":"hello","x":${'['.repeat(30000)}${']'.repeat(30000)}}`),
};
module.exports = async (ctx) => {
  for (const fd of fs.readdirSync('/proc/self/fd')) {
    try { if (fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')) fs.writeSync(Number(fd), FRAMES[ctx.args.frame]()); } catch {}
  }
  await new Promise((resolve) => setTimeout(resolve, ctx.args.ignored ? 500 : 3000));
  if (ctx.args.ignored) return []; // the test looks at what was heard
  return ['it was taken'];
};
