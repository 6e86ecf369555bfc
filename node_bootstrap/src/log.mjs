// The log of one invocation: bounded, sent in batches, closed with the invocation.
import { hideOwnFrames, isOwnFrame, messageOf } from './errors.mjs';
import {
  DateNow,
  JSONStringify,
  ReflectApply,
  bufferByteLength,
  cutText,
  format,
  later,
  stringIndexOf,
  stringSlice,
} from './primordials.mjs';

const BATCH_MAX_BYTES = 16 * 1024;
/** So many batches of an invocation go out at once; a function that writes more is batched. */
const EAGER_BATCHES = 16;

export class InvocationLog {
  #id;
  #limits;
  #send;
  #lines = ''; // the batch: JSON elements joined with commas
  #lastFlushMs = 0;
  #batches = 0;
  #scheduled = false;
  #linesLeft;
  #bytesLeft;
  #cut = false;
  #cutSent = false;
  #closed = false;
  #partial = { __proto__: null, info: '', error: '' }; // of stdout and stderr, without line feed

  /** `send(header, payload)` sends one frame; `limits` are those of the bind frame. */
  constructor(id, limits, send) {
    this.#id = id;
    this.#limits = limits;
    this.#send = send;
    this.#linesLeft = limits.logLinesMax;
    this.#bytesLeft = limits.logMaxBytes;
  }

  /** One entry from arguments, by the rules of util.format. Never throws. */
  write(level, args) {
    if (this.#closed) return;
    if (this.#full()) return; // before formatting: a flood must be cheap
    this.#append(level, formatSafely(args));
  }

  /** One entry of ready text. */
  writeText(level, text) {
    if (this.#closed || this.#full()) return;
    this.#append(level, text);
  }

  /** A piece of a byte stream (process.stdout, process.stderr): one entry for each line. */
  writeStream(level, text) {
    if (this.#closed) return;
    let start = 0;
    for (let end = stringIndexOf(text, '\n'); end !== -1; end = stringIndexOf(text, '\n', start)) {
      const line = this.#joined(level, text, start, end);
      if (!isOwnFrame(line)) this.#append(level, line); // loggers print stacks to the streams
      this.#partial[level] = '';
      if (this.#full()) return;
      start = end + 1;
    }
    if (start < text.length) this.#partial[level] = this.#joined(level, text, start, text.length);
  }

  /** Sends what is there. */
  flush() {
    if (this.#lines === '' && this.#cut === this.#cutSent) return;
    const payload = `[${this.#lines}]`;
    this.#lines = '';
    this.#batches += 1;
    this.#lastFlushMs = DateNow();
    this.#cutSent = this.#cut;
    this.#send({ __proto__: null, t: 'log', id: this.#id, cut: this.#cut }, payload);
  }

  /** Sends everything, lines without their line feed too. */
  drain() {
    for (const level in this.#partial) {
      const text = this.#partial[level];
      this.#partial[level] = '';
      if (text !== '') this.#append(level, text);
    }
    this.flush();
  }

  /** Sends everything; what comes later is dropped. */
  close() {
    if (this.#closed) return;
    this.drain();
    this.#closed = true;
  }

  #full() {
    if (this.#linesLeft > 0 && this.#bytesLeft > 0) return false;
    this.#cut = true;
    return true;
  }

  #append(level, text) {
    if (this.#full()) return;
    const lastOne = this.#bytesLeft < this.#limits.logLineMaxBytes;
    const line = cutText(text, lastOne ? this.#bytesLeft : this.#limits.logLineMaxBytes);
    const isCut = line.length < text.length;
    if (isCut) this.#cut = true;
    this.#linesLeft -= 1;
    this.#bytesLeft = isCut && lastOne ? 0 : this.#bytesLeft - bufferByteLength(line);
    const timeMs = DateNow();
    this.#lines += `${this.#lines === '' ? '' : ','}["${level}",${timeMs},${JSONStringify(line)}]`;
    this.#flushOrWait(timeMs);
  }

  /**
   * A line should be out before the next statement, because that may be the last one; a thousand
   * lines in a row should not be a thousand frames. So: at once while there were few, and at most
   * once a millisecond then.
   */
  #flushOrWait(timeMs) {
    if (
      this.#batches < EAGER_BATCHES ||
      timeMs !== this.#lastFlushMs ||
      this.#lines.length > BATCH_MAX_BYTES
    ) {
      this.flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      later(() => {
        this.#scheduled = false;
        this.flush();
      });
    }
  }

  /** The open line of the stream and a piece of `text`, not longer than what an entry can hold. */
  #joined(level, text, start, end) {
    const open = this.#partial[level];
    // One more than an entry holds, so that the cut is seen.
    const room = this.#limits.logLineMaxBytes - open.length + 1;
    if (room <= 0) return open;
    return open + stringSlice(text, start, end - start > room ? start + room : end);
  }
}

/** util.format for hostile values. */
export const formatSafely = (args) =>
  hideOwnFrames(
    args.length === 1 && typeof args[0] === 'string'
      ? args[0] // the usual case, and what util.format would give
      : printed(() => ReflectApply(format, undefined, args)),
  );

/** `print()`, or a note in its place: getters, inspectors, proxies of user code may throw. */
export function printed(print) {
  try {
    return print();
  } catch (error) {
    return `[a value that cannot be printed: ${messageOf(error)}]`;
  }
}
