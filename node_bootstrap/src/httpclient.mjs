// ctx.httpclient: urllib 2.x, loaded when it is first used (it costs more time and memory than all
// the rest). Its functions need no `this`, so they may be taken out of it.
import { createRequire } from 'node:module';
import { lazy } from './lazy.mjs';
import { ReflectApply, stringSlice, stringStartsWith } from './primordials.mjs';

const require = createRequire(import.meta.url);
const REQUESTS = ['request', 'curl', 'requestWithCallback', 'requestThunk'];
const VALUES = [
  'HttpClient',
  'HttpClient2',
  'USER_AGENT',
  'TIMEOUT',
  'TIMEOUTS',
  'agent',
  'httpsAgent',
];

/** `files` of the bind frame: requests for public addresses of files go to the internal ones. */
export function makeHttpclient(files) {
  const httpclient = {};
  for (const name of REQUESTS) {
    httpclient[name] = (url, ...rest) => call(name, [reachable(url, files), ...rest]);
  }
  httpclient.create = (...args) => call('create', args);
  for (const name of VALUES) lazy(httpclient, name, () => require('urllib')[name]);
  return httpclient;
}

function call(name, args) {
  const urllib = require('urllib');
  return ReflectApply(urllib[name], urllib, args);
}

/**
 * The slash behind the prefix ends the host's name: whatever follows, only the worker's own server
 * of files is asked.
 */
function reachable(url, files) {
  if (files === undefined || typeof url !== 'string') return url;
  if (!stringStartsWith(url, `${files.public}/`)) return url;
  return `${files.internal}${stringSlice(url, files.public.length)}`;
}
