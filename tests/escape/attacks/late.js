// Works on after its result, into the run that comes next: in one way at a time.
const fs = require('fs');
const { AsyncLocalStorage, AsyncResource } = require('async_hooks');
const { spawn } = require('child_process');
const { performance } = require('perf_hooks');
const v8 = require('v8');
const vm = require('vm');

let fired = 0;
let runs = 0;
const say = (write = (text) => { console.log(text); process.stdout.write(`${text}\n`); }) => { fired += 1; write('late'); };
// Made while the module loads: belongs to no invocation.
const resource = new AsyncResource('OF_THE_MODULE');
const inModule = AsyncLocalStorage.snapshot();
const { port1, port2 } = new MessageChannel();
port1.on('message', () => say());
port1.unref();
const registry = new FinalizationRegistry(() => say());
v8.setFlagsFromString('--expose-gc');
const collect = vm.runInNewContext('gc');

const often = (act) => setInterval(act, 10);
const WAYS = {
  timeout: () => { for (let i = 0; i < 100; i += 1) setTimeout(say, i * 5); },
  interval: () => often(() => say()),
  tick: () => { process.nextTick(() => console.error('late')); often(() => process.nextTick(() => say(console.error))); },
  promise: () => { const again = () => new Promise((resolve) => setTimeout(resolve, 10)).then(() => say(console.warn)).then(again); again(); },
  'resource of the module': () => often(() => resource.runInAsyncScope(() => say())),
  'snapshot of the module': () => often(() => inModule(() => say())),
  'message channel of the module': () => often(() => port2.postMessage('x')),
  'message channel of its own': () => { const own = new MessageChannel(); own.port1.on('message', () => say()); often(() => own.port2.postMessage('x')); },
  'finalization registry': () => often(() => { for (let i = 0; i < 20; i += 1) registry.register({}, i); collect(); }),
  'output of a child': () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => console.log("late"), 10)'], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.on('data', () => say());
  },
  'a child that writes where we do': () => {
    spawn(process.execPath, ['-e', 'setInterval(() => { console.log("late"); console.error("late"); }, 10)'], { stdio: ['ignore', 'inherit', 'inherit'] });
    often(() => { fired += 1; });
  },
  'kept logger': (ctx) => often(() => say(ctx.logger.info)),
  'kept logger in the module': (ctx) => often(() => resource.runInAsyncScope(() => say(ctx.logger.error))),
  'kept logger in a snapshot': (ctx) => often(() => inModule(() => say(ctx.logger.warn))),
  'raw descriptors': () => often(() => { say((text) => { for (const fd of [1, 2]) fs.writeSync(fd, `${text}\n`); }); }),
  'uncaught rejection': () => often(() => { fired += 1; Promise.reject(new Error('late')); }),
  'trace and dir': () => often(() => say((text) => { console.trace(text); console.dir({ text }); console.table([text]); })),
  'warning of the process': () => often(() => say((text) => process.emitWarning(text, { type: `late${fired}` }))),
};
module.exports = async (ctx) => {
  runs += 1;
  if (runs === 1) {
    WAYS[ctx.args.way](ctx);
    return 0;
  }
  const before = fired;
  const until = performance.now() + 400;
  console.log('mine');
  while (performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 20));
  return fired - before;
};
