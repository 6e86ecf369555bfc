const deep = (depth) => { let value = []; for (let i = 0; i < depth; i += 1) value = [value]; return value; };
const RESULTS = {
  huge: () => 'x'.repeat(300 << 20),
  'many escapes': () => '\u0001'.repeat(20 << 20),
  'deep 500': () => deep(500),
  'deep million': () => deep(1_000_000),
  'a circle': () => { const a = {}; a.a = a; return a; },
  'a big integer': () => 1n,
  'half a character': () => ['\ud800', { '\udfff': '\0' }],
  'a getter that leaves': () => ({ get a() { process.exit(0); } }),
  'a proxy of everything': () => new Proxy({}, { ownKeys: () => Array.from({ length: 1e6 }, (_, i) => `k${i}`), getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true }), get: () => 'x'.repeat(1000) }),
  'a promise that never comes true': () => ({ then() {} }),
  'numbers that are none': () => [NaN, Infinity, -0, 1e308],
};
module.exports = async (ctx) => RESULTS[ctx.args.result]();
