// One function in one process: bind it once, run its invocations, report each exactly once.
import { eventFacts } from './context.mjs';
import { setEnvironment } from './environment.mjs';
import { makeFault, messageOf, shrinkFault, toFault } from './errors.mjs';
import { HEADER_MAX_BYTES } from './frames.mjs';
import { findEntryFile, loadEntry } from './loader.mjs';
import {
  JSONParse,
  JSONStringify,
  NativePromise,
  ReflectApply,
  bufferByteLength,
  later,
} from './primordials.mjs';
import { elapsedMs, startUsage, usageOf } from './usage.mjs';

const FAULT_ESCAPED_MAX_BYTES = HEADER_MAX_BYTES / 2;

export class Runner {
  #channel;
  #scope;
  #calls;
  #makeContexts;
  #limits = null;
  #entry = null;
  #contexts = null;
  #send;
  #retired = false;

  constructor(channel, scope, calls, makeContexts) {
    this.#channel = channel;
    this.#scope = scope;
    this.#calls = calls;
    this.#makeContexts = makeContexts;
    this.#send = (header, payload) => channel.send(header, payload);
  }

  /** Sets its environment (`[name, value]` pairs), loads the function and answers with `bound`. */
  async bind(header, environment) {
    this.#limits = header.limits;
    this.#calls.limit(header.limits);
    const loading = this.#scope.open(header.id, true, header.limits, this.#send);
    startUsage(loading, this.#scope);
    try {
      const file = findEntryFile(header.codeDir, header.function);
      setEnvironment(environment);
      process.env.FC_FUNCTION_NAME = header.function;
      process.argv = [process.execPath, file]; // as if started by hand
      this.#contexts = this.#makeContexts(header);
      const entry = await this.#scope.run(loading, () => loadEntry(file, header.codeDir));
      // Only now Node reports a rejection that nobody awaits: it fails the load, not a call.
      await new NativePromise((resolve) => later(resolve));
      this.#entry = entry;
    } catch (error) {
      this.fail(loading, error);
      return;
    }
    this.#end(loading, {
      __proto__: null,
      t: 'bound',
      id: header.id,
      ok: true,
      loadMs: elapsedMs(loading),
    });
  }

  /** True when `invoke` frames may come. */
  get bound() {
    return this.#entry !== null;
  }

  /** Runs the function once and answers with `result`. Never rejects. */
  async invoke(header, payload) {
    const invocation = this.#start(header.id);
    let value;
    try {
      value = await this.#scope.run(invocation, () => this.#call(invocation, header, payload));
    } catch (error) {
      this.fail(invocation, error);
      return;
    }
    if (invocation.ended) return; // an error that nobody caught was faster
    this.#scope.run(invocation, () => this.#succeed(invocation, value)); // toJSON may log
  }

  /** Ends it as the function's failure. `recycle`: this process must not be used again. */
  fail(invocation, error, recycle = false) {
    this.#failAs(invocation, 'function_error', toFault(error), recycle);
  }

  /** Those under way, or else the next one, end as they would; then this process must not be used again. */
  retire() {
    this.#retired = true;
  }

  #start(id) {
    const invocation = this.#scope.open(id, false, this.#limits, this.#send);
    startUsage(invocation, this.#scope);
    return invocation;
  }

  #call(invocation, header, payload) {
    const args = payload === '' ? {} : parseArguments(payload);
    const given =
      this.#entry.style === 'ctx'
        ? [this.#contexts.plain(invocation, args, header.env)]
        : this.#contexts.event(invocation, args, header.env, eventFacts(header));
    return ReflectApply(this.#entry.run, undefined, given);
  }

  #succeed(invocation, value) {
    if (typeof value === 'string' && value.length > this.#limits.resultMaxBytes) {
      this.#tooLarge(invocation, `${value.length} characters`); // no copy: it may not fit in memory
      return;
    }
    let text;
    try {
      text = JSONStringify(value) ?? 'null'; // undefined, functions and symbols have no JSON text
    } catch (error) {
      const failure = serializationFailure(error);
      this.#failAs(invocation, failure.kind, failure.fault);
      return;
    }
    const bytes = bufferByteLength(text);
    if (bytes > this.#limits.resultMaxBytes) {
      this.#tooLarge(invocation, `${bytes} bytes`);
      return;
    }
    this.#end(
      invocation,
      { __proto__: null, t: 'result', id: invocation.id, ok: true, ...usageOf(invocation) },
      text,
    );
  }

  #tooLarge(invocation, size) {
    const message = `the result has ${size}, the limit is ${this.#limits.resultMaxBytes} bytes`;
    this.#failAs(invocation, 'result_too_large', makeFault('RangeError', message));
  }

  #failAs(invocation, kind, fault, recycle = false) {
    if (invocation.ended) return;
    const fitting =
      JSONStringify(fault).length > FAULT_ESCAPED_MAX_BYTES ? shrinkFault(fault) : fault;
    const { id } = invocation;
    if (invocation.loading) {
      const loadMs = elapsedMs(invocation);
      this.#end(invocation, { __proto__: null, t: 'bound', id, ok: false, fault: fitting, loadMs });
      return;
    }
    const failed = { __proto__: null, t: 'result', id, ok: false, kind, fault: fitting };
    this.#end(invocation, { __proto__: null, ...failed, ...usageOf(invocation), recycle });
  }

  /** Log first, answer last; afterwards nothing acts for this invocation. */
  #end(invocation, header, payload = '') {
    this.#scope.close(invocation);
    this.#calls.abandon(invocation);
    if (this.#retired) header.recycle = true;
    this.#channel.send(header, payload);
  }
}

function parseArguments(payload) {
  try {
    return JSONParse(payload);
  } catch (error) {
    throw new SyntaxError(`the arguments of this call are not JSON: ${error.message}`);
  }
}

function serializationFailure(error) {
  const reason = messageOf(error);
  if (error instanceof RangeError && reason === 'Invalid string length') {
    return {
      kind: 'result_too_large',
      fault: makeFault('RangeError', 'the result is longer than a text can be'),
    };
  }
  const { name, stack } = toFault(error);
  return {
    kind: 'result_not_serializable',
    fault: makeFault(name, `the result cannot be sent as JSON: ${reason}`, stack),
  };
}
