// Turns whatever was thrown into a fault: plain, bounded text, without ever throwing itself.
import { fileURLToPath } from 'node:url';
import {
  ArrayIsArray,
  StringOf,
  cutText,
  inspect,
  stringIndexOf,
  stringSlice,
  stringStartsWith,
} from './primordials.mjs';

const NAME_MAX_BYTES = 1024;
const CODE_MAX_BYTES = 1024;
const MESSAGE_MAX_BYTES = 8 * 1024;
const STACK_MAX_BYTES = 16 * 1024;
const CAUSES_MAX = 5;
const INNER_MAX = 5; // errors shown of an AggregateError

const HOME = new URL('.', import.meta.url); // .../node_bootstrap/src/
const OWN_FRAMES = [HOME.href, fileURLToPath(HOME), new URL('../index.mjs', HOME).href];
const OWN_FOLDERS = [fileURLToPath(new URL('..', HOME)), new URL('..', HOME).href];
const OWN_REQUIRER = `\n- ${fileURLToPath(new URL('loader.mjs', HOME))}`;
const NODE_FRAMES = ['(node:', 'at node:', 'at async node:', '(<anonymous>)'];

/** `{name, message, code?, stack}`, all text, cut to the bounds of PROTOCOL.md. */
export function toFault(thrown) {
  const fault = {
    __proto__: null,
    name: cutText(nameOf(thrown), NAME_MAX_BYTES),
    message: cutText(withoutOwnRequirer(messageOf(thrown)), MESSAGE_MAX_BYTES),
  };
  const code = codeOf(thrown);
  if (code !== '') fault.code = cutText(code, CODE_MAX_BYTES);
  fault.stack = cutText(stackOf(thrown), STACK_MAX_BYTES);
  return fault;
}

/** A fault of our own making. */
export function makeFault(name, message, stack = '') {
  return { __proto__: null, name, message: cutText(message, MESSAGE_MAX_BYTES), stack };
}

/**
 * Text of control characters grows sixfold in JSON and a header holds 64 KiB: the same fault with a
 * quarter of its text.
 */
export function shrinkFault(fault) {
  return {
    __proto__: null,
    ...fault,
    message: cutText(fault.message, MESSAGE_MAX_BYTES / 4),
    stack: cutText(fault.stack, STACK_MAX_BYTES / 4),
  };
}

/**
 * What an invocation may know of an error that was nobody's and ended its process: where it came
 * from. Its text may be about another invocation.
 */
export function withoutText(thrown) {
  const { stack } = toFault(thrown);
  const name = 'UncaughtError';
  const message =
    'an error outside of any invocation (in work from the load of the module, or left over) ended' +
    ' this process; its text is not shown, it may be about another call';
  let frames = '';
  for (let start = 0; start < stack.length;) {
    const found = stringIndexOf(stack, '\n', start);
    const end = found === -1 ? stack.length : found;
    const line = stringSlice(stack, start, end);
    start = end + 1;
    if (isFrame(line)) frames += `\n${line}`;
  }
  return { __proto__: null, name, message, stack: `${name}: ${message}${frames}` };
}

/** What a log entry says about it: the stack, or the text where there is none. */
export function describe(thrown) {
  const fault = toFault(thrown);
  return fault.stack !== '' ? fault.stack : `${fault.name}: ${fault.message}`;
}

function nameOf(thrown) {
  const name = read(thrown, 'name');
  return typeof name === 'string' && name !== '' ? name : 'Error';
}

/** Its message, or what it is where it has none. */
export function messageOf(thrown) {
  const message = read(thrown, 'message');
  if (typeof message === 'string') return message;
  if (typeof thrown === 'string') return thrown;
  try {
    return typeof thrown === 'symbol' ? StringOf(thrown) : inspect(thrown);
  } catch {
    return 'a value that cannot be printed was thrown';
  }
}

function codeOf(thrown) {
  const code = read(thrown, 'code');
  return typeof code === 'string' || typeof code === 'number' ? `${code}` : '';
}

/** The stack with its inner errors, then those of its causes. */
function stackOf(thrown) {
  let text = withoutOwnFrames(read(thrown, 'stack')) + innerErrorsOf(thrown);
  let cause = read(thrown, 'cause');
  for (let depth = 0; depth < CAUSES_MAX && cause !== undefined && cause !== null; depth += 1) {
    text += `\nCaused by: ${stackOrText(cause)}${innerErrorsOf(cause)}`;
    cause = read(cause, 'cause');
  }
  return text;
}

/** The first ones of `errors`, as an AggregateError has them (Promise.any, connections that fail). */
function innerErrorsOf(thrown) {
  const errors = read(thrown, 'errors');
  const count = isArray(errors) ? read(errors, 'length') : 0;
  let text = '';
  for (let i = 0; i < count && i < INNER_MAX; i += 1) {
    text += `\nInner error ${i + 1} of ${count}: ${stackOrText(read(errors, i))}`;
  }
  return text;
}

function stackOrText(thrown) {
  const stack = withoutOwnFrames(read(thrown, 'stack'));
  return stack !== '' ? stack : `${nameOf(thrown)}: ${messageOf(thrown)}`;
}

/** Throws not even for a revoked proxy. */
function isArray(value) {
  try {
    return ArrayIsArray(value);
  } catch {
    return false;
  }
}

/**
 * A member of a thrown object; undefined where reading throws (getters, proxies) and for what is no
 * object.
 */
function read(thrown, member) {
  if (thrown === null || (typeof thrown !== 'object' && typeof thrown !== 'function')) return;
  try {
    return thrown[member];
  } catch {
    return;
  }
}

/**
 * The stack as the function's author knows it: without the frames of the bootstrap, and without
 * those of Node at its end (module loader, timers, sockets), which lead to them.
 */
function withoutOwnFrames(stack) {
  if (typeof stack !== 'string') return '';
  const text = withoutOwnRequirer(cutText(stack, STACK_MAX_BYTES * 2));
  let kept = '';
  let held = ''; // frames of Node, kept when a frame of the author follows
  for (let start = 0; start < text.length;) {
    const found = stringIndexOf(text, '\n', start);
    const end = found === -1 ? text.length : found;
    const line = stringSlice(text, start, end);
    start = end + 1;
    if (isFrame(line) && containsAny(line, OWN_FRAMES)) continue;
    if (isFrame(line) && containsAny(line, NODE_FRAMES)) {
      held += `\n${line}`;
    } else {
      kept += `${held}\n${line}`;
      held = '';
    }
  }
  return stringSlice(kept, 1);
}

/** A printed text, in which errors may stand with their stacks, without the bootstrap's frames. */
export function hideOwnFrames(text) {
  if (!containsAny(text, OWN_FOLDERS)) return text;
  let kept = '';
  for (let start = 0; start < text.length;) {
    const found = stringIndexOf(text, '\n', start);
    const end = found === -1 ? text.length : found;
    const line = stringSlice(text, start, end);
    start = end + 1;
    if (!isOwnFrame(line)) kept += `\n${line}`;
  }
  return stringSlice(kept, 1);
}

/**
 * Whether a printed line is one of the bootstrap's frames, and nothing else. inspect indents and
 * quotes them; text that has a whole stack in one line (JSON) is the author's.
 */
export function isOwnFrame(line) {
  if (!containsAny(line, OWN_FRAMES)) return false;
  let start = 0;
  while (start < line.length && stringIndexOf(` '"\``, line[start]) !== -1) start += 1;
  return stringSlice(line, start, start + 3) === 'at ';
}

/** Node lists the files that led to a missing module in the message; the first of them is ours. */
function withoutOwnRequirer(text) {
  const at = stringIndexOf(text, OWN_REQUIRER);
  return at === -1 ? text : stringSlice(text, 0, at) + stringSlice(text, at + OWN_REQUIRER.length);
}

const isFrame = (line) => stringStartsWith(line, '    at ');

function containsAny(line, parts) {
  for (let i = 0; i < parts.length; i += 1) if (stringIndexOf(line, parts[i]) !== -1) return true;
  return false;
}
