// Much at once over the channel: by the SDK, and by hand.
const fs = require('fs');
const frame = (header, payload) => {
  const head = Buffer.from(JSON.stringify(header));
  const sizes = Buffer.alloc(8);
  sizes.writeUInt32BE(head.length, 0);
  sizes.writeUInt32BE(payload.length, 4);
  return [Buffer.concat([sizes, head]), payload];
};
const channel = () => fs.readdirSync('/proc/self/fd').map(Number).find((fd) => { try { return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:'); } catch { return false; } });
const pause = new Int32Array(new SharedArrayBuffer(4));
const write = (fd, bytes) => {
  for (let at = 0; at < bytes.length;) {
    try { at += fs.writeSync(fd, bytes, at); } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
      Atomics.wait(pause, 0, 0, 1);
    }
  }
};
const ACTS = {
  calls: async (ctx) => {
    const text = 'x'.repeat(ctx.args.mb << 20);
    const calls = Array.from({ length: ctx.args.calls }, (_, i) => ctx.mpserverless.function.invoke('gate', { i, text }).then(() => 'answered', (error) => error.code));
    const ends = await Promise.all(calls);
    return { did: { calls: calls.length, answered: ends.filter((end) => end === 'answered').length }, got: [] };
  },
  'raw calls': async (ctx) => {
    const fd = channel();
    const did = { frames: 0 };
    const payload = Buffer.from(JSON.stringify({ functionTarget: 'never', functionArgs: 'x'.repeat(ctx.args.mb << 20) }));
    for (; did.frames < ctx.args.calls; did.frames += 1) {
      for (const part of frame({ t: 'call', id: ctx.requestId, call: 1000 + did.frames, method: 'serverless.function.runtime.invoke' }, payload)) write(fd, part);
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
    return { did, got: [] };
  },
  'raw logs': (ctx) => {
    const fd = channel();
    const lines = Buffer.from(JSON.stringify(Array.from({ length: 500 }, () => ['info', 1, 'flood'])));
    const parts = Buffer.concat(frame({ t: 'log', id: ctx.requestId, cut: false }, lines));
    ctx.logger.info('begun');
    for (;;) write(fd, parts);
  },
  'raw logs for nobody': (ctx) => {
    const fd = channel();
    const parts = Buffer.concat(frame({ t: 'log', id: 'nobody', cut: false }, Buffer.from('[["info",1,"flood"]]')));
    ctx.logger.info('begun');
    for (;;) write(fd, parts);
  },
  'empty logs': (ctx) => {
    const fd = channel();
    const parts = Buffer.concat(Array.from({ length: 200 }, () => frame({ t: 'log', id: ctx.requestId, cut: true }, Buffer.alloc(0))).flat());
    ctx.logger.info('begun');
    for (;;) write(fd, parts);
  },
};
module.exports = (ctx) => ACTS[ctx.args.do](ctx);
