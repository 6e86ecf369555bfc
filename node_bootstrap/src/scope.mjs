// Which invocation the running code belongs to.
import { AsyncLocalStorage } from 'node:async_hooks';
import { InvocationLog } from './log.mjs';

/** One invocation, or the load of the module (`loading`), which logs and fails in the same way. */
class Invocation {
  id;
  loading;
  log;
  ended = false;
  startedMs = 0;
  cpuStart = null; // process.cpuUsage() at the start
  shared = false; // another one ran at the same time: the process's cpu time is not its own

  constructor(id, loading, log) {
    this.id = id;
    this.loading = loading;
    this.log = log;
  }
}

export class Scope {
  #enter;
  #store;
  #active = { __proto__: null };
  #count = 0;

  constructor() {
    const storage = new AsyncLocalStorage();
    this.#enter = storage.run.bind(storage);
    this.#store = storage.getStore.bind(storage);
  }

  /** How many are under way. */
  get count() {
    return this.#count;
  }

  has(id) {
    return this.#active[id] !== undefined;
  }

  /** Starts an invocation. `send` sends a frame, `limits` are those of the bind frame. */
  open(id, loading, limits, send) {
    const invocation = new Invocation(id, loading, new InvocationLog(id, limits, send));
    this.#active[id] = invocation;
    this.#count += 1;
    return invocation;
  }

  /** Runs `body(argument)` and whatever it starts inside the invocation. */
  run(invocation, body, argument) {
    return this.#enter(invocation, body, argument);
  }

  /** Ends it: its log is sent and closed, nothing acts for it any more. */
  close(invocation) {
    if (invocation.ended) return;
    invocation.log.close();
    invocation.ended = true;
    delete this.#active[invocation.id];
    this.#count -= 1;
  }

  /**
   * Whose the running code is, or null. Code without an invocation, and what was started while the
   * module loaded (a connection pool, an interval), belongs to the one that is under way if there
   * is exactly one. Work left over from an invocation that has ended belongs to nobody, least of
   * all to its successor.
   */
  current() {
    const own = this.#store();
    if (own !== undefined && !own.ended) return own;
    if (own !== undefined && !own.loading) return null;
    return this.#sole();
  }

  /** True when the running code was started by an invocation that has ended. */
  get late() {
    const own = this.#store();
    return own !== undefined && own.ended && !own.loading;
  }

  /**
   * Who pays for a service call through the ctx of `invocation`: that one, else the running one,
   * else null.
   */
  payer(invocation) {
    if (!invocation.ended) return invocation;
    const own = this.#store();
    return own !== undefined && !own.ended && !own.loading ? own : null;
  }

  /** Sends every open log, for the end of the process. */
  flushLogs() {
    for (const id in this.#active) this.#active[id].log.drain();
  }

  /** Marks all that run now as sharing the process. */
  share() {
    for (const id in this.#active) this.#active[id].shared = true;
  }

  #sole() {
    if (this.#count !== 1) return null;
    for (const id in this.#active) return this.#active[id];
    return null;
  }
}
