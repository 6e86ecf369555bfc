// What one invocation leaves in the objects that the next one gets. `seen` is what spoilt code was handed.
const seen = [];
let kept;
const spoil = (object, name) => {
  const original = object[name];
  object[name] = function (...args) { seen.push(`${name} ${JSON.stringify(args)}`); return original.apply(this, args); };
};
const ACTS = {
  spoil: (ctx) => {
    kept = ctx;
    const { mpserverless: sdk } = ctx;
    spoil(Object.getPrototypeOf(sdk.function), 'invoke');
    spoil(Object.getPrototypeOf(sdk.db), 'collection');
    const transport = sdk.function.transport ?? Object.values(sdk.function).find((value) => typeof value?.request === 'function');
    spoil(Object.getPrototypeOf(transport), 'request');
    Object.getPrototypeOf(sdk).setUserId = () => { throw new Error('spoilt'); };
    ctx.httpclient.request = async (...args) => { seen.push(`http ${args[0]}`); return 'spoilt'; };
    Object.defineProperty(Object.prototype, 'left', { value: 'left' }); // not enumerable: the SDK itself would stumble
    return 'spoilt';
  },
  use: async (ctx) => ({
    answer: (await ctx.mpserverless.function.invoke('gate', ctx.args)).result,
    own: ctx.requestId,
    http: await Promise.resolve(ctx.httpclient.request('http://127.0.0.1:9/', { timeout: 500 })).catch((error) => error.code ?? error.name),
    left: ctx.left ?? null,
    seen: seen.splice(0),
  }),
  useKept: async (ctx) => ({ answer: (await kept.mpserverless.function.invoke('gate', ctx.args)).result }),
  lateUse: (ctx) => {
    setInterval(() => kept.mpserverless.function.invoke('gate', { late: true }).then(() => seen.push('answered late'), (error) => seen.push(error.code)), 20);
    return 'later';
  },
  wait: async () => { await new Promise((resolve) => setTimeout(resolve, 300)); return [...new Set(seen)]; },
};
module.exports = (ctx) => ACTS[ctx.args.do](ctx);
