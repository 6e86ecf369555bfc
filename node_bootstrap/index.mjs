// The sandbox side of PROTOCOL.md: patches the console, connects to the worker, loads one function,
// runs it.
import { Calls } from './src/calls.mjs';
import { Channel } from './src/channel.mjs';
import { captureOutput } from './src/console.mjs';
import { Contexts } from './src/context.mjs';
import { readEnvironment } from './src/environment.mjs';
import { ProtocolError } from './src/frames.mjs';
import { makeHttpclient } from './src/httpclient.mjs';
import { Runner } from './src/invoke.mjs';
import { installProcessHandlers, takeEnvironment } from './src/process.mjs';
import { Scope } from './src/scope.mjs';
import { prewarmServices } from './src/serverless.mjs';

const PROTOCOL = 1;
/** A process that waits this long for its function uses the time to load the service packages. */
const PREWARM_AFTER_MS = 20;

const egressPath = process.env.YUNHAN_EGRESS;
const path = takeEnvironment();
if (path === undefined) {
  process.stderr.write(
    'yunhan bootstrap: YUNHAN_CHANNEL is not set; the worker starts this program\n',
  );
  process.exit(64);
}

// Only where the process has no network; loaded while the channel opens.
const egressModule = egressPath ? import('./src/egress.mjs') : null;

const scope = new Scope();
captureOutput(scope);

let runner = null;
let calls = null;
let binding = false;
let prewarm = null;

const channel = await Channel.open(path, (header, payload) => {
  switch (header.t) {
    case 'bind':
      if (binding) throw new ProtocolError('wrong_state', 'a second bind');
      binding = true;
      clearTimeout(prewarm);
      egress?.guardTheRest();
      runner.bind(header, readEnvironment(payload));
      break;
    case 'invoke':
      if (!runner.bound) throw new ProtocolError('wrong_state', 'invoke without a bound function');
      if (scope.has(header.id)) {
        throw new ProtocolError('wrong_state', 'invoke with the id of another one');
      }
      runner.invoke(header, payload);
      break;
    case 'grant':
      calls.grant(header.call);
      break;
    default:
      calls.reply(header.call, payload);
  }
});

const egress = await egressModule;
egress?.installEgress(egressPath);

calls = new Calls(channel, scope);
runner = new Runner(
  channel,
  scope,
  calls,
  (header) => new Contexts(scope, calls, header, makeHttpclient(header.files)),
);
installProcessHandlers(channel, scope, runner);

channel.send({
  __proto__: null,
  t: 'hello',
  protocol: PROTOCOL,
  node: process.version,
  pid: process.pid,
});
prewarm = setTimeout(() => {
  egress?.guardTheRest();
  prewarmServices();
}, PREWARM_AFTER_MS);
