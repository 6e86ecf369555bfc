// Reads {sdk, endpoint, spaceId, clientSecret | serverSecret, steps} as JSON from stdin, carries the steps out on
// the database of the official client or server SDK and prints one JSON array: {value} or {error} for each step.
// As a module of a function it does the same on `ctx.mpserverless`. Steps:
//   ["on", collection, method, ...arguments]      ["as", user, ...step]: of another user
//   ["raw", collection, method, ...arguments]     without the checks that the SDK does itself
//   ["start", name]  ["in", name, ...step]  ["commit", name]  ["rollback", name]: transactions
//   ["db", method, ...arguments]                 of the database itself
//   ["command", params]                           as they go over the wire, whatever the SDK has methods for
//   ["invoke", function, arguments]  ["wait", ms]
// A Date is {"$date": ISO} in steps and results.
'use strict';

function dates(value) {
  if (Array.isArray(value)) return value.map(dates);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$date === 'string') return new Date(value.$date);
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, dates(each)]));
}

function plain(value) {
  if (value instanceof Date) return { $date: value.toISOString() };
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

function unchecked(query) {
  query.validate = () => {};
  query.validateTransactionAction = () => {};
  return query;
}

async function carryOut(serverlessOf, steps) {
  const open = {};
  const actions = (db, functions) => ({
    on: (collection, method, ...args) => db.collection(collection)[method](...args),
    raw: (collection, method, ...args) => unchecked(db.collection(collection))[method](...args),
    db: (method, ...args) => db[method](...args),
    command: async (params) => {
      const method = 'serverless.db.default.execute';
      const request = db.getEncoder().setBodyField({ method, params });
      return (await db.transport.request(request)).body;
    },
    invoke: (name, args) => functions.invoke(name, args),
    as: async (user, action, ...args) => (await actionsOf(user))[action](...args),
    start: async (name) => {
      open[name] = await db.startTransaction();
      return { id: open[name].id };
    },
    in: (name, action, ...args) => actions(open[name])[action](...args),
    commit: (name) => open[name].commit(),
    rollback: (name) => open[name].rollback(),
    wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  });
  const actionsOf = async (user) => {
    const mp = await serverlessOf(user);
    return actions(mp.db, mp.function);
  };
  const usual = await actionsOf('');
  const results = [];
  for (const [action, ...args] of steps) {
    try {
      results.push({ value: plain(await usual[action](...dates(args))) });
    } catch (error) {
      const { name, code, message } = error;
      results.push({ error: { isError: error instanceof Error, name, code, message } });
    }
  }
  return results;
}

const read = () =>
  new Promise((resolve) => {
    let text = '';
    process.stdin.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)));
  });

function clientOf({ endpoint, spaceId, clientSecret }) {
  const MPServerless = require('@alicloud/mpserverless-sdk');
  const host = require('./hosts.cjs').become('alipay');
  const users = {};
  return async (user) => {
    if (!users[user]) {
      users[user] = new MPServerless(host, {
        appId: 'app-1', spaceId, clientSecret, endpoint, timeout: 60000,
      });
      await users[user].user.authorize({ authType: 'anonymous' });
    }
    return users[user];
  };
}

function serverOf({ endpoint, spaceId, serverSecret }) {
  const { default: MPServerless } = require('@alicloud/mpserverless-node-sdk');
  const mp = new MPServerless({ spaceId, serverSecret, endpoint, timeout: 60000 });
  return (user) => (user ? mp.setUserId(user) : mp);
}

async function main() {
  const config = await read();
  const serverlessOf = config.sdk === 'client' ? clientOf(config) : serverOf(config);
  process.stdout.write(JSON.stringify(await carryOut(serverlessOf, config.steps)));
}

module.exports = { carryOut, clientOf, serverOf };
if (require.main === module) main();
