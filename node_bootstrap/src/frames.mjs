// Frames of PROTOCOL.md: encoding, incremental parsing, shapes of what the worker sends. No I/O.
import {
  ArrayIsArray,
  JSONParse,
  JSONStringify,
  MathMin,
  bufferAllocate,
  bufferByteLength,
  bufferCopy,
  bufferEquals,
  bufferFrom,
  bufferReadLength,
  bufferSubarray,
  bufferText,
  bufferWrite,
  bufferWriteLength,
  stringIndexOf,
} from './primordials.mjs';

export const HEADER_MAX_BYTES = 64 * 1024;
const PAYLOAD_MAX_BYTES = 256 * 1024 * 1024;
const PREFIX_BYTES = 8;
const SCRATCH_BYTES = 64 * 1024;
const UTF8_BYTES_PER_UNIT = 3; // at most, per UTF-16 code unit

/** The other side broke the protocol. `code` is one of the names in tests/frames/golden.json. */
export class ProtocolError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'ProtocolError';
    this.code = code;
  }
}

/** Makes frames. Small ones share one buffer: use a frame before the next is made. */
export class FrameEncoder {
  #scratch = bufferAllocate(SCRATCH_BYTES);

  /** `header` without a prototype (a patched `toJSON` would speak for it), `payload` JSON text. */
  encode(header, payload) {
    const text = JSONStringify(header);
    let frame = this.#scratch;
    if (PREFIX_BYTES + (text.length + payload.length) * UTF8_BYTES_PER_UNIT > SCRATCH_BYTES) {
      frame = bufferAllocate(PREFIX_BYTES + bufferByteLength(text) + bufferByteLength(payload));
    }
    const headerBytes = bufferWrite(frame, text, PREFIX_BYTES);
    if (headerBytes > HEADER_MAX_BYTES) {
      throw new ProtocolError(
        'header_too_long',
        `our own header of ${headerBytes} bytes is too long`,
      );
    }
    const payloadBytes =
      payload === '' ? 0 : bufferWrite(frame, payload, PREFIX_BYTES + headerBytes);
    bufferWriteLength(frame, headerBytes, 0);
    bufferWriteLength(frame, payloadBytes, 4);
    return bufferSubarray(frame, 0, PREFIX_BYTES + headerBytes + payloadBytes);
  }
}

/** Finds the frames in a stream of chunks. Chunks may be reused by their owner after `push`. */
export class FrameParser {
  #onFrame;
  #partial = null; // a frame (or its first 8 bytes) that has begun in an earlier chunk
  #filled = 0;

  /** `onFrame(header, payloadText)` is called in the order of arrival. */
  constructor(onFrame) {
    this.#onFrame = onFrame;
  }

  /** Takes the first `length` bytes of `chunk`. Throws ProtocolError. */
  push(chunk, length) {
    let at = 0;
    while (at < length) {
      if (this.#partial === null) {
        const known = length - at >= PREFIX_BYTES;
        const end = at + (known ? frameLength(chunk, at) : PREFIX_BYTES);
        if (end <= length) {
          this.#take(chunk, at, end);
          at = end;
          continue;
        }
        this.#begin(end - at);
      }
      const bytes = MathMin(this.#partial.length - this.#filled, length - at);
      bufferCopy(chunk, this.#partial, this.#filled, at, at + bytes);
      this.#filled += bytes;
      at += bytes;
      if (this.#filled === this.#partial.length) this.#complete();
    }
  }

  /** The stream has ended. Throws ProtocolError inside a frame. */
  end() {
    if (this.#partial !== null) {
      throw new ProtocolError('truncated', 'the stream ended inside a frame');
    }
  }

  #begin(length) {
    this.#partial = bufferAllocate(length);
    this.#filled = 0;
  }

  #complete() {
    const part = this.#partial;
    const length = frameLength(part, 0);
    if (length > part.length) {
      // Only the lengths were here so far.
      this.#begin(length);
      this.#filled = bufferCopy(part, this.#partial);
      return;
    }
    this.#partial = null;
    this.#take(part, 0, length);
  }

  #take(bytes, start, end) {
    const payloadStart = start + PREFIX_BYTES + bufferReadLength(bytes, start);
    const header = readHeader(bytes, start + PREFIX_BYTES, payloadStart);
    this.#onFrame(header, bufferText(bytes, 'utf8', payloadStart, end));
  }
}

function frameLength(bytes, at) {
  const header = bufferReadLength(bytes, at);
  const payload = bufferReadLength(bytes, at + 4);
  if (header > HEADER_MAX_BYTES) {
    throw new ProtocolError('header_too_long', `header of ${header} bytes`);
  }
  if (payload > PAYLOAD_MAX_BYTES) {
    throw new ProtocolError('payload_too_long', `payload of ${payload} bytes`);
  }
  return PREFIX_BYTES + header + payload;
}

function readHeader(bytes, start, end) {
  const text = bufferText(bytes, 'utf8', start, end);
  if (
    stringIndexOf(text, '\ufffd') !== -1 &&
    !bufferEquals(bufferFrom(text, 'utf8'), bufferSubarray(bytes, start, end))
  ) {
    throw new ProtocolError('header_not_utf8', 'the header is not UTF-8');
  }
  let header;
  try {
    header = JSONParse(text);
  } catch {
    throw new ProtocolError('header_not_json', 'the header is not JSON');
  }
  if (!isObject(header)) {
    throw new ProtocolError('header_not_object', 'the header is not an object');
  }
  const isWellFormed = typeof header.t === 'string' ? SHAPES[header.t] : undefined;
  if (isWellFormed === undefined) {
    throw new ProtocolError('unknown_type', 'the header has an unknown t');
  }
  if (!isWellFormed(header)) {
    throw new ProtocolError('bad_member', `a member of the ${header.t} frame is wrong`);
  }
  return header;
}

const LIMITS = [
  'resultMaxBytes',
  'callMaxBytes',
  'callsInFlightMax',
  'logLineMaxBytes',
  'logLinesMax',
  'logMaxBytes',
];

function isAboutCall(header) {
  return isText(header.id) && isNumber(header.call);
}

/** What the worker may send. */
const SHAPES = {
  __proto__: null,
  bind(header) {
    if (!isText(header.id) || !isText(header.space) || !isText(header.function)) return false;
    if (!isText(header.deployment) || !isText(header.codeDir) || !isObject(header.limits))
      return false;
    for (let i = 0; i < LIMITS.length; i += 1)
      if (!isNumber(header.limits[LIMITS[i]])) return false;
    return header.files === undefined || isFileHosts(header.files);
  },
  invoke: (header) => isText(header.id) && isObject(header.env) && isNumber(header.timeoutMs),
  reply: isAboutCall,
  grant: isAboutCall,
};

const isText = (value) => typeof value === 'string';
const isNumber = (value) => typeof value === 'number' && value >= 0;
const isObject = (value) => typeof value === 'object' && value !== null && !ArrayIsArray(value);
const isFileHosts = (value) => isObject(value) && isText(value.public) && isText(value.internal);
