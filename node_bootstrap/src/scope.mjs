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
  usageStart = null; // process.resourceUsage() at the start
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
  #loading = null; // the load of the module, while it is under way: nothing else is then

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
    if (loading) this.#loading = invocation;
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
    if (invocation.loading) this.#loading = null;
  }

  /**
   * Whose the running code is, or null. Work left over from an invocation that has ended belongs to
   * nobody, least of all to its successor. Nor does what was started while the module loaded (an
   * interval, the events of a connection) or what runs in no context (finalizers): an invocation
   * may have handed its work to it, so not even the only one under way is credited with it. During
   * the load nothing else runs, and all is the load's.
   */
  current() {
    const own = this.#store();
    if (own === undefined) return this.#loading;
    return own.ended ? null : own;
  }

  /** The one invocation under way, or null: what ends the process ends it, whoever caused that. */
  sole() {
    if (this.#count !== 1) return null;
    for (const id in this.#active) return this.#active[id];
    return null;
  }

  /**
   * The id of the invocation that started the running code, ended or not, for the end of the process; null
   * for what the load of the module left running, and for what runs in no context.
   */
  get author() {
    const own = this.#store() ?? this.#loading;
    return own === null || (own.ended && own.loading) ? null : own.id;
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
}
