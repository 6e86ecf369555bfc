// Reads {endpoint, spaceId, clientSecret, host, appId?, headers?, steps} as JSON from stdin, carries the steps
// out with the official client SDK and prints one JSON array: {value} or {error} for each step.
'use strict';

const { digestOf } = require('./downloads.cjs');
const { become } = require('./hosts.cjs');

const read = () =>
  new Promise((resolve) => {
    let text = '';
    process.stdin.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)));
  });

function plain(error) {
  if (error === null || typeof error !== 'object') return { thrown: error };
  return { isError: error instanceof Error, name: error.name, code: error.code, message: error.message,
    error: error.error, keys: Object.keys(error) };
}

async function main() {
  const { endpoint, spaceId, clientSecret, host, appId = 'app-1', headers, steps } = await read();
  const MPServerless = require('@alicloud/mpserverless-sdk');
  const mp = new MPServerless(become(host, headers), {
    appId, spaceId, clientSecret, endpoint, timeout: 60000,
  });
  const tokens = [];
  const actions = {
    authorize: (options) => mp.user.authorize(options),
    invoke: (name, args) => mp.function.invoke(name, args),
    invokeMany: (name, count) =>
      Promise.all(Array.from({ length: count }, (_, i) => mp.function.invoke(name, { i }))),
    getInfo: (options) => mp.user.getInfo(options),
    upload: (options) => mp.file.uploadFile(options),
    // The files' ids or URLs; a number is that of an earlier step, whose URL is meant.
    info: (files, options) => mp.file.info(files.map(urlOf), options),
    remove: (file) => mp.file.deleteFile(urlOf(file)),
    fetch: (file) => digestOf(urlOf(file)),
    findOne: (collection) => mp.db.collection(collection).findOne({}),
    manage: (key, action, params) => {
      const Core = require('@alicloud/pop-core');
      const client = new Core({ ...key, endpoint, apiVersion: '2019-06-15' });
      return client.request(action, params, { method: 'POST' });
    },
    forward: (method, params) => mp.network.forward(method, params),
    breakToken: () => {
      // whatever the SDK calls it: the member that holds the access token
      const seen = new Set();
      const walk = (node) => {
        if (node === null || typeof node !== 'object' || seen.has(node)) return;
        seen.add(node);
        for (const key of Object.keys(node)) {
          if (typeof node[key] === 'string' && node[key].startsWith('1.')) {
            tokens.push(node[key]);
            node[key] = '1.broken.broken.broken';
          } else walk(node[key]);
        }
      };
      walk(mp);
      return { broken: tokens.length };
    },
  };
  const results = [];
  const urlOf = (file) => (typeof file === 'number' ? results[file].value.fileUrl : file);
  for (const [name, ...args] of steps) {
    try {
      results.push({ value: await actions[name](...args) });
    } catch (error) {
      results.push({ error: plain(error) });
    }
  }
  process.stdout.write(JSON.stringify(results));
}

main();
