// Service calls under way: `call` frames out, `reply` frames in.
import { JSONParse, JSONStringify, NativePromise, bufferByteLength } from './primordials.mjs';

const METHOD_MAX_LENGTH = 256;
const USER_ID_MAX_LENGTH = 1024;
/** PROTOCOL.md: longer parameters are sent when the worker has room for them. */
const UNGRANTED_MAX_BYTES = 64 * 1024;

/** A call that was refused here, before it left the sandbox. */
class CallError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'CallError';
    this.code = code;
  }
}

export class Calls {
  #channel;
  #scope;
  #limits = null;
  #open = { __proto__: null }; // by number: {owner, resolve, reject, grant}
  #count = 0;
  #last = 0;

  constructor(channel, scope) {
    this.#channel = channel;
    this.#scope = scope;
  }

  /** Sets the bounds, once, at bind. */
  limit(limits) {
    this.#limits = limits;
  }

  /**
   * Calls a service for `invocation`, or for the running one when that has ended. Resolves to the
   * parsed envelope. Rejects when there is no invocation to act for, or beyond a bound.
   */
  async call(invocation, method, params, userId) {
    const owner = this.#payer(invocation, method);
    checkHeader(method, userId);
    const payload = params === undefined ? '' : JSONStringify(params);
    const bytes = bufferByteLength(payload);
    if (bytes > this.#limits.callMaxBytes) {
      throw new CallError(
        'RequestContentLength.Exceeded',
        `the parameters of ${method} have ${bytes} bytes,` +
          ` the limit is ${this.#limits.callMaxBytes}`,
      );
    }
    if (this.#count >= this.#limits.callsInFlightMax) {
      throw new CallError(
        'Throttling.Api.Concurrency',
        `${method} was not called: ${this.#count} service calls are under way, the limit is` +
          ` ${this.#limits.callsInFlightMax}; await some of them first`,
      );
    }
    this.#count += 1;
    const number = (this.#last += 1);
    const entry = { __proto__: null, owner, resolve: null, reject: null, grant: null };
    const answered = new NativePromise((resolve, reject) => {
      entry.resolve = resolve;
      entry.reject = reject;
    });
    this.#open[number] = entry;
    if (bytes > UNGRANTED_MAX_BYTES) {
      const granted = new NativePromise((resolve) => {
        entry.grant = resolve;
      });
      this.#channel.send({ __proto__: null, t: 'reserve', id: owner.id, call: number, bytes });
      await granted; // for ever, when the invocation ends meanwhile
    }
    // One at a time: the queue of the channel must not hold the text of every call.
    while (this.#channel.congested) await this.#channel.drained();
    if (owner.ended) return answered; // while it waited: like every call that it leaves behind
    const header = { __proto__: null, t: 'call', id: owner.id, call: number, method };
    if (userId !== undefined) header.userId = userId;
    this.#channel.send(header, payload);
    return answered;
  }

  /**
   * Takes a `grant` frame. One for a call that is not known (its invocation has ended) is ignored.
   */
  grant(number) {
    this.#open[number]?.grant?.();
  }

  /**
   * Takes a `reply` frame. One for a call that is not known (its invocation has ended) is ignored.
   */
  reply(number, payload) {
    const entry = this.#take(number);
    if (entry === null) return;
    try {
      entry.resolve(JSONParse(payload));
    } catch {
      entry.reject(
        new CallError('JSONResponseFormatError', 'the answer of the service is not JSON'),
      );
    }
  }

  /**
   * Forgets the calls of an invocation that has ended. Their promises stay pending: work after the
   * end is frozen, and a rejection that nobody awaits would be an error of its own.
   */
  abandon(invocation) {
    if (this.#count === 0) return;
    for (const number in this.#open)
      if (this.#open[number].owner === invocation) this.#take(number);
  }

  #payer(invocation, method) {
    const owner = this.#scope.payer(invocation);
    if (owner !== null) return owner;
    throw new CallError(
      'InvocationEnded',
      `${method} was not called: this invocation (${invocation.id}) has ended;` +
        ' await your service calls before you return, and use the ctx of the running invocation',
    );
  }

  #take(number) {
    const entry = this.#open[number];
    if (entry === undefined) return null;
    delete this.#open[number];
    this.#count -= 1;
    return entry;
  }
}

function checkHeader(method, userId) {
  if (typeof method !== 'string' || method.length > METHOD_MAX_LENGTH) {
    throw new CallError(
      'InvalidMethod.Format',
      'the method of a service call must be a short text',
    );
  }
  if (userId !== undefined && (typeof userId !== 'string' || userId.length > USER_ID_MAX_LENGTH)) {
    throw new CallError(
      'InvalidParams.Format',
      `the userId must be a text of at most ${USER_ID_MAX_LENGTH} characters`,
    );
  }
}
