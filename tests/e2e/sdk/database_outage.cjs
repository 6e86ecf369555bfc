// An app that uses its database without a pause while that is killed or stopped, and writes down what each call
// came to. Reads {sdk, endpoint, spaceId, clientSecret | serverSecret, name} as JSON from stdin and prints an array;
// as a module of a function it does the same on `ctx.mpserverless`. It ends when the document `stop` is there.
//   {what, round, ms, affected} or {what, round, ms, error: {code, message}}
'use strict';

const COLLECTION = 'outage';
const BATCH = 5;
const SHARED = 20;
const LONGEST_MS = 40_000;

async function toil(db, name) {
  const documents = db.collection(COLLECTION);
  const results = [];
  const began = Date.now();
  let round = 0;

  async function note(what, act) {
    const start = process.hrtime.bigint();
    const ms = () => Number(process.hrtime.bigint() - start) / 1e6;
    try {
      const { affectedDocs, result } = await act();
      results.push({ what, round, ms: ms(), affected: affectedDocs });
      return result;
    } catch ({ code, message }) {
      results.push({ what, round, ms: ms(), error: { code, message } });
      return undefined;
    }
  }

  async function both() {
    const transaction = await db.startTransaction();
    for (const half of ['a', 'b']) {
      await transaction.collection(COLLECTION).insertOne({ _id: `${name}-pair-${round}-${half}`, pair: name });
    }
    return transaction.commit();
  }

  const shared = Array.from({ length: SHARED }, (_, i) => ({ _id: `${name}-shared-${i}`, shared: name }));
  await documents.insertMany(shared);
  const held = await db.startTransaction();
  await held.collection(COLLECTION).insertOne({ _id: `${name}-held` });
  while (Date.now() - began < LONGEST_MS) {
    round += 1;
    const batch = Array.from({ length: BATCH }, (_, i) => ({ _id: `${name}-${round}-${i}`, batch: name, round }));
    await note('find', () => documents.find({ shared: name }));
    await note('insertMany', () => documents.insertMany(batch));
    await note('updateMany', () => documents.updateMany({ shared: name }, { $set: { [`round${round}`]: true } }));
    await note('transaction', both);
    await note('held', () => held.collection(COLLECTION).findOne({ _id: `${name}-held` }));
    if (await note('findOne', () => documents.findOne({ _id: 'stop' }))) break;
  }
  await note('commit', () => held.commit());
  return results;
}

const read = () =>
  new Promise((resolve) => {
    let text = '';
    process.stdin.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)));
  });

async function main() {
  const { clientOf, serverOf } = require('./database.cjs');
  const config = await read();
  const { db } = await (config.sdk === 'client' ? clientOf(config) : serverOf(config))('');
  process.stdout.write(JSON.stringify(await toil(db, config.name)));
}

module.exports = (ctx) => toil(ctx.mpserverless.db, ctx.args.name);
if (require.main === module) main();
