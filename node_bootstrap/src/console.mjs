// Captures console.*, process.stdout and process.stderr into the log of the running invocation.
import { Writable } from 'node:stream';
import { describe } from './errors.mjs';
import { formatSafely, printed } from './log.mjs';
import { bufferText, inspect } from './primordials.mjs';

const LEVELS = {
  log: 'info',
  info: 'info',
  debug: 'debug',
  warn: 'warn',
  error: 'error',
};

/** Replaces them for good. `scope` tells whose output it is; nobody's is dropped. */
export function captureOutput(scope) {
  for (const [name, level] of Object.entries(LEVELS)) {
    replace(console, name, function (...args) {
      scope.current()?.log.write(level, args);
    });
  }
  replace(console, 'dir', (value, options) => {
    scope.current()?.log.writeText(
      'info',
      printed(() => inspect(value, { customInspect: false, ...options })),
    );
  });
  replace(console, 'trace', function trace(...args) {
    const place = { name: 'Trace', message: formatSafely(args) };
    Error.captureStackTrace(place, trace);
    scope.current()?.log.writeText('error', describe(place));
  });
  captureStream('stdout', 1, 'info', scope);
  captureStream('stderr', 2, 'error', scope);
}

/** A function of the same name in the place of a method. */
function replace(target, name, method) {
  Object.defineProperty(method, 'name', { value: name });
  Object.defineProperty(target, name, {
    value: method,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/**
 * A stream of our own instead of the process's: what is written becomes log lines, the descriptor
 * stays untouched.
 */
function captureStream(name, fd, level, scope) {
  const stream = new Writable({
    write(chunk, encoding, done) {
      scope.current()?.log.writeStream(level, bufferText(chunk, 'utf8'));
      done();
    },
  });
  stream.fd = fd;
  stream._type = 'pipe';
  // As the original's: nobody can end it, and code that does must not fail.
  stream.destroy = () => stream;
  stream.end = (...args) => {
    const done = args[args.length - 1];
    if (args.length > 0 && typeof args[0] !== 'function') stream.write(args[0]);
    if (typeof done === 'function') done();
    return stream;
  };
  Object.defineProperty(process, name, { get: () => stream, enumerable: true, configurable: true });
}
