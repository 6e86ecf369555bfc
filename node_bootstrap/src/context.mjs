// What a function gets: `ctx` of the plain product, and (event, context) of `exports.main`.
import { lazy } from './lazy.mjs';
import {
  ArrayIsArray,
  ObjectDefineProperty,
  ObjectHasOwn,
  stringSlice,
  stringStartsWith,
} from './primordials.mjs';
import { makeServerless } from './serverless.mjs';

const LEVELS = ['debug', 'info', 'warn', 'error'];

/** Makes the contexts of one bound function. */
export class Contexts {
  #scope;
  #calls;
  #binding;
  #httpclient;

  /** `binding` is the header of the bind frame, `httpclient` is shared by all invocations. */
  constructor(scope, calls, binding, httpclient) {
    this.#scope = scope;
    this.#calls = calls;
    this.#binding = binding;
    this.#httpclient = httpclient;
  }

  /** `ctx`. Its members are own and enumerable: it can be destructured, spread and stored. */
  plain(invocation, args, env) {
    const ctx = {
      args,
      env,
      logger: this.#logger(invocation),
      httpclient: this.#httpclient,
      requestId: invocation.id,
    };
    const call = (method, params, userId) => this.#calls.call(invocation, method, params, userId);
    lazy(ctx, 'mpserverless', () => makeServerless(call, this.#binding.space, this.#httpclient));
    lazy(ctx, 'basement', () => ctx.mpserverless); // its older name
    return ctx;
  }

  /**
   * `[event, context]` as uniCloud and WeChat give them. `triggerPath` is cut from the path of an
   * HTTP event, `user` becomes `event.userInfo`.
   */
  event(invocation, args, env, { triggerPath, user }) {
    const context = this.plain(invocation, args, env);
    delete context.args;
    context.SPACEINFO = { spaceId: this.#binding.space, provider: 'aliyun' };
    context.SOURCE = env.MP_SOURCE;
    context.FUNCTION_NAME = this.#binding.function;
    context.FUNCTION_TYPE = 'cloudfunction';
    context.CLIENTIP = env.MP_CLIENT_IP;
    context.CLIENTUA = env.MP_USER_AGENT;
    const event = triggerPath === undefined ? args : withRemainder(args, triggerPath);
    if (user !== undefined) withUser(event, user);
    else if (isStranger(env)) withoutIdentity(event);
    return [event, context];
  }

  /**
   * Functions, not methods: people take them out of it. They write for the invocation that got them
   * and for no other: its log is closed when it has ended.
   */
  #logger(invocation) {
    const logger = {};
    for (let i = 0; i < LEVELS.length; i += 1) {
      const level = LEVELS[i];
      logger[level] = (...args) => invocation.log.write(level, args);
    }
    return logger;
  }
}

/** What an invoke frame says about the event: of `triggerPath` and `user` those that it has. */
export const eventFacts = (header) => ({
  __proto__: null,
  triggerPath: own(header, 'triggerPath', 'string'),
  user: own(header, 'user', 'object'),
});

const own = (header, name, type) =>
  ObjectHasOwn(header, name) && typeof header[name] === type ? header[name] : undefined;

/** Whether the caller is no backend: what such a one says of who it is is not believed. */
const isStranger = (env) => env.MP_SOURCE === 'client' || env.MP_SOURCE === 'function';

const isPlain = (value) => typeof value === 'object' && value !== null && !ArrayIsArray(value);

/**
 * Events that are objects tell who calls, whatever the caller has put there; others cannot. It is
 * the function's own object: it came from JSON for this invocation alone.
 */
function withUser(event, { openId, appId }) {
  if (!isPlain(event)) return;
  const value = { openId, appId };
  ObjectDefineProperty(event, 'userInfo', {
    __proto__: null,
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}

/**
 * Of a caller without an identity at WeChat nothing is left that functions take for one. The rest of
 * `userInfo` stays: apps send names and pictures in it.
 */
function withoutIdentity(event) {
  if (!isPlain(event) || !ObjectHasOwn(event, 'userInfo') || !isPlain(event.userInfo)) return;
  delete event.userInfo.openId;
  delete event.userInfo.appId;
}

/** The event with the path below the trigger's: `/` for the trigger's own (spec: functions (c)). */
function withRemainder(event, triggerPath) {
  const path = event?.path;
  if (typeof path !== 'string' || !stringStartsWith(path, triggerPath)) return event;
  const rest = stringSlice(path, triggerPath.length);
  const isOtherSegment = rest !== '' && rest[0] !== '/' && triggerPath !== '/';
  if (isOtherSegment) return event;
  return { ...event, path: rest === '' ? '/' : rest[0] === '/' ? rest : `/${rest}` };
}
