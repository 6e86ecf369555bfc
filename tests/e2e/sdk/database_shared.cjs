// Apps and a backend that work on one space's database, at one gateway or several. Reads {endpoints, spaceId,
// clientSecret, serverSecret, steps} as JSON from stdin, carries the steps out with the official SDKs and prints
// one JSON array: {value} or {error} for each step. Steps:
//   ["app", gateway, user, ...action]       of the client SDK; each name is another anonymous user
//   ["backend", gateway, userId, ...action] of the server SDK, for that user; "" is the backend itself
// Actions:
//   ["on", collection, method, ...arguments]   ["invoke", function, arguments]   ["start"] gives the id
//   ["in", transaction id, collection, method, ...arguments]   ["commit", id]   ["rollback", id]
// {"$user": name} is the user id of that app's user, as its token says; {"$step": n} is the result of step n.
'use strict';

const { default: BackendSdk } = require('@alicloud/mpserverless-node-sdk');
const AppSdk = require('@alicloud/mpserverless-sdk');
const host = require('./hosts.cjs').become('alipay');

const read = () =>
  new Promise((resolve) => {
    let text = '';
    process.stdin.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)));
  });

// The SDK keeps its token to itself: it is looked at on its way.
let lastToken = '';
const usualFetch = globalThis.fetch;
globalThis.fetch = async (...args) => {
  const answer = await usualFetch(...args);
  lastToken = (await answer.clone().text()).match(/"accessToken":"([^"]+)"/)?.[1] ?? lastToken;
  return answer;
};

const userOf = (token) => JSON.parse(Buffer.from(token.split('.')[2], 'base64url')).u;

// The transaction of an id that somebody else was given. The SDKs have no call for it: theirs is filled in.
async function transactionOf(db, id) {
  const transaction = await db.startTransaction();
  await transaction.rollback();
  transaction.status = 'init';
  transaction.id = transaction.queryService.transId = id;
  return transaction;
}

function actionsOf(mp) {
  return {
    on: (collection, method, ...args) => mp.db.collection(collection)[method](...args),
    invoke: (name, args) => mp.function.invoke(name, args),
    start: async () => ({ result: (await mp.db.startTransaction()).id }),
    in: async (id, collection, method, ...args) =>
      (await transactionOf(mp.db, id)).collection(collection)[method](...args),
    commit: async (id) => (await transactionOf(mp.db, id)).commit(),
    rollback: async (id) => (await transactionOf(mp.db, id)).rollback(),
  };
}

function callersOf({ endpoints, spaceId, clientSecret, serverSecret }) {
  const apps = {};
  const users = {};
  const app = async (gateway, user) => {
    const key = `${gateway} ${user}`;
    if (!apps[key]) {
      const endpoint = endpoints[gateway];
      apps[key] = new AppSdk(host, { appId: 'app-1', spaceId, clientSecret, endpoint, timeout: 60000 });
      await apps[key].user.authorize({ authType: 'anonymous' });
      users[key] = userOf(lastToken);
    }
    return apps[key];
  };
  const backend = (gateway, user) => {
    const mp = new BackendSdk({ spaceId, serverSecret, endpoint: endpoints[gateway], timeout: 60000 });
    return user ? mp.setUserId(user) : mp;
  };
  const idOf = async (user) => (await app(0, user)) && users[`0 ${user}`];
  return { app, backend, idOf };
}

async function main() {
  const config = await read();
  const callers = callersOf(config);
  const results = [];
  const filled = async (value) => {
    if (value === null || typeof value !== 'object') return value;
    if (value.$user !== undefined) return callers.idOf(value.$user);
    if (value.$step !== undefined) return results[value.$step].value.result;
    if (Array.isArray(value)) return Promise.all(value.map(filled));
    const pairs = Object.entries(value).map(async ([key, each]) => [key, await filled(each)]);
    return Object.fromEntries(await Promise.all(pairs));
  };
  for (const step of config.steps) {
    try {
      const [caller, gateway, user, action, ...args] = await filled(step);
      const mp = await callers[caller](gateway, user);
      results.push({ value: await actionsOf(mp)[action](...args) });
    } catch (error) {
      const { code, message } = error;
      results.push({ error: { isError: error instanceof Error, code, message } });
    }
  }
  process.stdout.write(JSON.stringify(results));
}

main();
