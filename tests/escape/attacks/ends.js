// Ends its process, or keeps it busy for ever, in one of many ways.
const fs = require('fs');
const net = require('net');
const os = require('os');
const path = require('path');
const { spawn } = require('child_process');
const { Worker } = require('worker_threads');
const forever = () => new Promise(() => {});
const channel = () => fs.readdirSync('/proc/self/fd').map(Number).find((fd) => { try { return fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:'); } catch { return false; } });
const gate = async () => {
  for (const file of ['/run/yunhan/egress', '/channel/egress']) if (fs.existsSync(file)) return file;
  const file = path.join(os.tmpdir(), 'own'); // without walls there is no gate
  await new Promise((resolve) => net.createServer().unref().listen(file, resolve));
  return file;
};
const WAYS = {
  'abort': () => process.abort(),
  'segmentation fault': () => process.kill(process.pid, 'SIGSEGV'),
  'bus error': () => process.kill(process.pid, 'SIGBUS'),
  'killed by itself': () => process.kill(process.pid, 'SIGKILL'),
  'terminated by itself': async () => { process.kill(process.pid, 'SIGTERM'); await forever(); },
  'stopped by itself': async () => { process.kill(process.pid, 'SIGSTOP'); await forever(); },
  'exit 0': () => process.exit(0),
  'exit 70, as the bootstrap does': () => process.exit(70),
  'exit 71, as the bootstrap does': () => process.exit(71),
  'exit behind our back': () => process.reallyExit(0),
  'an error that nobody catches': async () => { setTimeout(() => { throw new Error('thrown late'); }, 1); await forever(); },
  'a rejection that nobody awaits': async () => { Promise.reject(new Error('rejected')); await forever(); },
  'recursion without end': () => { const f = () => f() + 1; return f(); },
  'the channel closed': async () => { fs.closeSync(channel()); await forever(); },
  'the gate in the place of the channel': async (ctx) => {
    const file = await gate();
    const fd = channel();
    fs.closeSync(fd);
    const socket = net.connect(file); // gets the lowest number that is free
    await new Promise((resolve) => socket.once('connect', resolve).once('error', resolve));
    ctx.logger.info('into the wrong socket');
    return socket._handle?.fd === fd ? 'replaced' : 'not replaced';
  },
  'a loop': () => { for (;;); },
  'a loop of microtasks': async () => { const f = () => { Promise.resolve().then(f); }; f(); await forever(); },
  'a loop of ticks': async () => { const f = () => process.nextTick(f); f(); await forever(); },
  'a loop of immediates': async () => { const f = () => setImmediate(f); f(); await forever(); },
  'an expression without end': () => /^(a+)+$/.test(`${'a'.repeat(60)}!`),
  'a wait without end': () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
  'busy threads': async () => { for (let i = 0; i < 4; i += 1) new Worker('for (;;);', { eval: true }).on('error', () => {}); await forever(); },
  'busy children': async () => { for (let i = 0; i < 4; i += 1) spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }).on('error', () => {}); await forever(); },
  'a loop deaf to signals': () => { for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGCONT']) process.on(name, () => {}); for (;;); },
};
module.exports = async (ctx) => { ctx.logger.info(`does ${ctx.args.way}`); return WAYS[ctx.args.way](ctx); };
