// Everything of the language and of Node that the bootstrap relies on while user code is around,
// taken before user code loads: a function that replaces JSON.stringify or patches a prototype must
// not change what we send.
import { Buffer } from 'node:buffer';
import fs from 'node:fs';
import { performance } from 'node:perf_hooks';
import util from 'node:util';

const { bind, call } = Function.prototype;

/**
 * Turns a method into a function whose first argument is its `this`; later patches do not reach it.
 */
const uncurry = bind.bind(call);

export const JSONParse = JSON.parse;
export const JSONStringify = JSON.stringify;
export const ReflectApply = Reflect.apply;
export const ObjectDefineProperty = Object.defineProperty;
export const ObjectHasOwn = Object.hasOwn;
export const ArrayIsArray = Array.isArray;
export const arrayShift = uncurry(Array.prototype.shift);
export const atomicsWait = Atomics.wait;
export const MathMin = Math.min;
export const MathRound = Math.round;
export const DateNow = Date.now;
export const NativePromise = Promise;
export const StringOf = String;

export const stringSlice = uncurry(String.prototype.slice);
export const stringIndexOf = uncurry(String.prototype.indexOf);
export const stringStartsWith = uncurry(String.prototype.startsWith);

export const bufferAllocate = Buffer.allocUnsafeSlow;
export const bufferByteLength = Buffer.byteLength;
export const bufferFrom = Buffer.from;
export const bufferCopy = uncurry(Buffer.prototype.copy);
export const bufferEquals = uncurry(Buffer.prototype.equals);
export const bufferReadLength = uncurry(Buffer.prototype.readUInt32BE);
export const bufferSubarray = uncurry(Buffer.prototype.subarray);
export const bufferText = uncurry(Buffer.prototype.toString);
export const bufferWrite = uncurry(Buffer.prototype.write);
export const bufferWriteLength = uncurry(Buffer.prototype.writeUInt32BE);

export const { format, inspect } = util;
export const { writeSync } = fs;
export const now = performance.now.bind(performance);
export const later = setImmediate;
const rss = process.memoryUsage.rss.bind(process.memoryUsage);
export const resourceUsage = process.resourceUsage.bind(process);

/** Resident memory of the process; its peak where /proc cannot be read. */
export function residentBytes() {
  try {
    return rss();
  } catch {
    return resourceUsage().maxRSS * 1024;
  }
}

export const abort = process.abort.bind(process);

/** Ends the process without running anybody's `exit` listeners. */
export const exitNow = process.reallyExit.bind(process);

const toWellFormed = String.prototype.toWellFormed; // since Node 20
const uncurriedWellFormed = toWellFormed && uncurry(toWellFormed);

/**
 * `text` with each lone surrogate replaced by U+FFFD: such text has no UTF-8, and strict readers
 * refuse it.
 */
function wellFormed(text) {
  if (uncurriedWellFormed) return uncurriedWellFormed(text);
  return bufferByteLength(text) === text.length ? text : bufferText(bufferFrom(text, 'utf8'));
}

/** The longest well-formed beginning of `text` that has at most `maxBytes` bytes in UTF-8. */
export function cutText(text, maxBytes) {
  // A character has at least one byte, so the rest of a huge string is never looked at.
  const head = wellFormed(text.length > maxBytes ? stringSlice(text, 0, maxBytes) : text);
  if (bufferByteLength(head) <= maxBytes) return head;
  const bytes = bufferFrom(head, 'utf8');
  let end = maxBytes;
  while (end > 0 && (bytes[end] & 0xc0) === 0x80) end -= 1; // back to the first byte of a character
  return bufferText(bytes, 'utf8', 0, end);
}
