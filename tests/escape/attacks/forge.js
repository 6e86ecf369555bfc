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
const MANY = 20_000;
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
  'an end of another invocation, twice': () => Buffer.concat([frame({ t: 'exiting', id: 'innocent', code: 0 }), frame({ t: 'exiting', id: 'innocent', code: 1 })]),
  'ends without end': () => Buffer.alloc(MANY * frame({ t: 'exiting', id: 'req', code: 0 }).length, frame({ t: 'exiting', id: 'req', code: 0 })),
  'an end of nobody, then a crash': () => frame({ t: 'exiting', id: 'nobody', code: 0 }),
  'an end of nobody, then that exit': () => frame({ t: 'exiting', id: 'nobody', code: 0 }),
  'an end of nobody, then another exit': () => frame({ t: 'exiting', id: 'nobody', code: 0 }),
  'an end of nobody, then a full heap': () => frame({ t: 'exiting', id: 'nobody', code: null }),
  'room for a call of another invocation': () => frame({ t: 'reserve', id: 'innocent', call: 1, bytes: 100_000 }),
  'room beyond the bound': () => frame({ t: 'reserve', id: 'req', call: 1, bytes: 1 << 30 }),
  'a long call without room': () => frame({ t: 'call', id: 'req', call: 1, method: 'x' }, '', [undefined, 16 << 20]),
  'a grant': () => frame({ t: 'grant', id: 'req', call: 1 }),
  'a deep header': () => frame(`{"t":"hello","x":${'['.repeat(30000)}${']'.repeat(30000)}}`),
};
const THEN = {
  'an end of nobody, then a crash': () => process.kill(process.pid, 'SIGSEGV'),
  'an end of nobody, then that exit': () => process.reallyExit(0),
  'an end of nobody, then another exit': () => process.reallyExit(3),
  'an end of nobody, then a full heap': () => { const all = []; for (;;) all.push({ a: [1] }); },
};
function writeAll(fd, data) {
  for (let at = 0; at < data.length;) {
    // Full for the moment; when it is closed for good, that is what should happen.
    try { at += fs.writeSync(fd, data, at); } catch (error) { if (error.code !== 'EAGAIN') return; }
  }
}
module.exports = async (ctx) => {
  const did = { frames: 0 };
  for (const fd of fs.readdirSync('/proc/self/fd')) {
    try { if (!fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')) continue; } catch { continue; }
    writeAll(Number(fd), FRAMES[ctx.args.frame]());
    did.frames += 1;
  }
  THEN[ctx.args.frame]?.();
  await new Promise((resolve) => setTimeout(resolve, ctx.args.ignored ? 500 : 3000));
  return { did, got: ctx.args.ignored ? [] : ['it was taken'] }; // of an ignored one the test looks at what was heard
};
