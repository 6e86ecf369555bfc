// The process around the function: its environment, and what ends it.
import { describe, withoutText } from './errors.mjs';
import { abort, exitNow } from './primordials.mjs';

/** The exit code after an error that nobody caught. */
const UNCAUGHT_EXIT = 70;
/** Of the number that `process.exit` is given the system keeps these. */
const EXIT_CODE_BITS = 0xff;

/** Removes what is ours from the environment. Returns the channel's path. */
export function takeEnvironment() {
  const path = process.env.YUNHAN_CHANNEL;
  for (const name of Object.keys(process.env)) {
    if (name.startsWith('YUNHAN_')) delete process.env[name];
  }
  process.env.TZ ??= 'UTC';
  return path;
}

/**
 * Errors that nobody caught.
 *
 * - The running code belongs to an invocation under way (or to the load): it gets the error in its
 *   log and fails with `recycle`; then the process ends, because its state is unknown. Neighbours
 *   are lost with it.
 * - It is nobody's (work from the load of the module, or in no context) while exactly one runs: that
 *   one fails in the same way, and learns where the error came from but not its text.
 * - It is nobody's while several run: none is blamed, the process ends.
 * - Nothing is under way, and no invocation left it behind: the process ends quietly.
 * - An *exception* of work that an ended invocation left behind: what runs, or comes next, ends as it
 *   would, but is the last here. Ending the process would fail it: in a paused sandbox a timer that
 *   became due meanwhile fires just when the next invocation comes.
 * - A *rejection* of work that an ended invocation left behind is dropped: it broke nothing, and
 *   neither a neighbour nor the next call shall pay for it.
 * - The function has a handler of its own: it decides, as in plain Node.
 */
export function installProcessHandlers(channel, scope, runner) {
  const listeners = process.listenerCount.bind(process);
  /** The last frame: who ends the process, and by which code (null = by a signal). */
  const tell = (id, code) => {
    scope.flushLogs();
    channel.send({ __proto__: null, t: 'exiting', id, code });
    channel.flush();
  };
  const end = (error) => {
    const invocation = scope.current();
    if (invocation !== null) {
      invocation.log.writeText('error', `Uncaught ${describe(error)}`);
      runner.fail(invocation, error, true);
    } else {
      const hit = scope.sole();
      if (hit !== null) runner.fail(hit, withoutText(error), true);
    }
    tell(invocation === null ? null : invocation.id, UNCAUGHT_EXIT);
    exitNow(UNCAUGHT_EXIT);
  };
  process.on('uncaughtException', (error) => {
    if (listeners('uncaughtException') !== 1) return;
    if (scope.late) runner.retire();
    else end(error);
  });
  process.on('unhandledRejection', (reason) => {
    if (listeners('unhandledRejection') === 1 && !scope.late) end(reason);
  });
  // process.exit() by the function: its log lines must not be lost.
  process.on('exit', (code) => tell(scope.author, code & EXIT_CODE_BITS));
  process.abort = () => {
    tell(scope.author, null);
    abort();
  };
}
