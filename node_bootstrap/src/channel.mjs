// The channel: frames over one unix stream socket.
//
// Frames are written synchronously while the kernel takes them, so that a log line is out of the
// process before the next statement of the function runs, whatever that does (process.exit, an
// endless loop, running out of memory). What the kernel does not take waits in a queue that the
// socket drains; it holds at most the results and logs of the running invocations and one call.
import net from 'node:net';
import { FrameEncoder, FrameParser } from './frames.mjs';
import {
  DateNow,
  NativePromise,
  arrayShift,
  atomicsWait,
  bufferAllocate,
  bufferCopy,
  bufferSubarray,
  exitNow,
  writeSync,
} from './primordials.mjs';

const READ_BYTES = 64 * 1024;
const FLUSH_MAX_MS = 1000;
const FLUSH_PAUSE_MS = 2;
const PROTOCOL_ERROR_EXIT = 71;

export class Channel {
  #socket;
  #fd = -1;
  #encoder = new FrameEncoder();
  #queue = []; // of buffers; the first one is with the socket
  #waiting = []; // resolve functions of `drained`
  #pause = new Int32Array(new SharedArrayBuffer(4));

  /** Resolves when connected. `onFrame(header, payload)` gets every frame; a throw ends it all. */
  static async open(path, onFrame) {
    const channel = new Channel();
    await channel.#connect(path, onFrame);
    return channel;
  }

  /** Sends one frame. `header` without a prototype, `payload` JSON text or ''. */
  send(header, payload = '') {
    const frame = this.#encoder.encode(header, payload);
    const written = this.#queue.length === 0 ? this.#write(frame) : 0;
    if (written === frame.length) return;
    const rest = bufferAllocate(frame.length - written); // the frame's own buffer is used again
    bufferCopy(frame, rest, 0, written);
    this.#queue[this.#queue.length] = rest;
    if (this.#queue.length === 1) this.#drain();
  }

  /** True while the worker does not read fast enough. */
  get congested() {
    return this.#queue.length > 0;
  }

  /** Resolves when the queue has become empty. */
  drained() {
    return new NativePromise((resolve) => {
      this.#waiting[this.#waiting.length] = resolve;
    });
  }

  /** Writes the queue out, blocking, for at most a second. Only for the end of the process. */
  flush() {
    const deadline = DateNow() + FLUSH_MAX_MS;
    const queue = this.#queue;
    this.#queue = [];
    for (let i = 0; i < queue.length; i += 1) {
      let rest = queue[i];
      if (i === 0) rest = bufferSubarray(rest, rest.length - this.#unwritten(rest.length));
      while (rest.length > 0) {
        rest = bufferSubarray(rest, this.#write(rest));
        if (rest.length === 0) break;
        if (DateNow() > deadline) return;
        atomicsWait(this.#pause, 0, 0, FLUSH_PAUSE_MS);
      }
    }
  }

  #connect(path, onFrame) {
    const parser = new FrameParser(onFrame);
    const callback = (bytes, chunk) => {
      try {
        parser.push(chunk, bytes);
      } catch (error) {
        this.#fail(error);
      }
      return true;
    };
    return new NativePromise((resolve, reject) => {
      // With `onread` chunks come straight from the handle: no stream between, nothing allocated.
      const socket = net.connect({
        path,
        onread: { buffer: bufferAllocate(READ_BYTES), callback },
      });
      this.#socket = socket;
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        this.#fd = socket._handle?.fd ?? -1;
        for (const event of ['end', 'close', 'error']) socket.on(event, () => exitNow(0));
        pin(socket);
        hide(socket);
        resolve();
      });
    });
  }

  /** How many bytes of what the socket holds it has not written yet. */
  #unwritten(length) {
    return this.#socket._handle?.writeQueueSize ?? length;
  }

  /** How many bytes the kernel took at once. */
  #write(bytes) {
    if (this.#fd < 0) return 0;
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      if (error.code === 'EAGAIN') return 0;
      return exitNow(0); // the worker is gone
    }
  }

  #drain() {
    this.#socket.write(this.#queue[0], () => {
      arrayShift(this.#queue);
      if (this.#queue.length > 0) {
        this.#drain();
        return;
      }
      const waiting = this.#waiting;
      this.#waiting = [];
      for (let i = 0; i < waiting.length; i += 1) waiting[i]();
    });
  }

  #fail(error) {
    try {
      writeSync(2, `yunhan bootstrap: ${error.code}: ${error.message}\n`);
    } catch {
      // nobody listens
    }
    exitNow(PROTOCOL_ERROR_EXIT);
  }
}

/** Copies what the socket inherits onto itself: patches of net.Socket or of streams pass it by. */
function pin(socket) {
  let from = Object.getPrototypeOf(socket);
  while (from !== Object.prototype) {
    for (const key of Reflect.ownKeys(from)) {
      if (Object.hasOwn(socket, key)) continue;
      Object.defineProperty(socket, key, Object.getOwnPropertyDescriptor(from, key));
    }
    from = Object.getPrototypeOf(from);
  }
}

/** Keeps well-meant clean-up code, which closes all active handles, from closing ours. */
function hide(socket) {
  const original = process._getActiveHandles;
  if (typeof original !== 'function') return;
  process._getActiveHandles = () => original.call(process).filter((handle) => handle !== socket);
}
