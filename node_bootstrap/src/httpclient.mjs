// ctx.httpclient: urllib 2.x, loaded when it is first used (it costs more time and memory than all
// the rest). Its functions need no `this`, so they may be taken out of it.
import { createRequire } from 'node:module';
import { lazy } from './lazy.mjs';
import { ReflectApply } from './primordials.mjs';

const require = createRequire(import.meta.url);
const FUNCTIONS = ['request', 'curl', 'requestWithCallback', 'requestThunk', 'create'];
const VALUES = [
  'HttpClient',
  'HttpClient2',
  'USER_AGENT',
  'TIMEOUT',
  'TIMEOUTS',
  'agent',
  'httpsAgent',
];

export function makeHttpclient() {
  const httpclient = {};
  for (const name of FUNCTIONS) {
    httpclient[name] = (...args) => {
      const urllib = require('urllib');
      return ReflectApply(urllib[name], urllib, args);
    };
  }
  for (const name of VALUES) lazy(httpclient, name, () => require('urllib')[name]);
  return httpclient;
}
