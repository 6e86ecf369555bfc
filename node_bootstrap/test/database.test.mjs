// Collections and indexes of ctx.mpserverless.db, which the official service does not have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

const DONE = { affectedDocs: 1, result: { name: 'a_1' } };

/** A worker that answers every call well, and what it was asked: an outcome and the params of its calls. */
async function asking(t) {
  const worker = await sandbox(t, 'probe');
  worker.replies = () => ({ success: true, data: DONE, requestId: 'inner-1' });
  return async (args) => {
    const before = worker.frames.length;
    const { value, result } = await worker.invoke(args);
    const calls = worker.frames.slice(before).filter((frame) => frame.t === 'call');
    return { value, result, calls, sent: calls.map(({ payload }) => JSON.parse(payload)) };
  };
}

const ofCollection = (method, ...args) => ({ do: 'collection', method, args });
const ofDatabase = (method, ...args) => ({ do: 'database', method, args });

const SENT = [
  [ofCollection('createIndex', 'a.b'), { command: 'createIndex', field: 'a.b', options: {} }],
  [
    ofCollection('createIndex', { a: 1, b: -1 }, { unique: true, name: 'mine', maxTimeMS: 5 }),
    {
      command: 'createIndex',
      field: { a: 1, b: -1 },
      options: { unique: true, name: 'mine', maxTimeMS: 5 },
    },
  ],
  [ofCollection('dropIndex', 'a_1'), { command: 'dropIndex', dropIndex: 'a_1' }],
  [ofCollection('listIndexes'), { command: 'listIndexes' }],
  [ofCollection('drop'), { command: 'drop' }],
  [ofCollection('rename', 'd'), { command: 'rename', newName: 'd' }],
];

test('commands of collections and indexes have the names of the management side', async (t) => {
  const ask = await asking(t);
  for (const [args, params] of SENT) {
    const { value, calls, sent } = await ask(args);
    assert.deepEqual(sent, [{ collection: 'c', ...params }]);
    assert.equal(calls[0].method, 'serverless.db.default.execute');
    assert.deepEqual(value, { success: true, ...DONE });
  }
  const made = await ask(ofDatabase('createCollection', 'c'));
  assert.deepEqual(made.sent, [{ command: 'createCollection', name: 'c' }]);
  assert.deepEqual(made.value, { success: true, ...DONE });
  assert.deepEqual((await ask(ofDatabase('listCollections'))).sent, [{ command: 'collections' }]);
});

test('wrong arguments are refused before anything is sent', async (t) => {
  const ask = await asking(t);
  const wrong = [
    ...[undefined, null, '', 5, true, ['a'], { a: 2 }, { a: '1' }, { $a: 1 }].map((keys) =>
      ofCollection('createIndex', keys),
    ),
    ...['text', 5, [], { unique: 'yes' }, { name: 5 }, { maxTimeMS: -1 }].map((options) =>
      ofCollection('createIndex', 'a', options),
    ),
    ...['dropIndex', 'rename'].flatMap((method) =>
      [undefined, null, '', 5, {}, ['a_1']].map((name) => ofCollection(method, name)),
    ),
    ...[undefined, null, '', 5, {}].map((name) => ofDatabase('createCollection', name)),
  ];
  for (const args of wrong) {
    const { result, sent } = await ask(args);
    assert.equal(result.fault?.code, 'ValidationFailed', JSON.stringify(args));
    assert.deepEqual(sent, []);
  }
});

test('they act as the user whom the function stands for', async (t) => {
  const ask = await asking(t);
  const { calls } = await ask({ ...ofCollection('createIndex', 'a'), user: 'u1' });
  assert.equal(calls[0].userId, 'u1');
});

test('commands of one collection may be under way together', async (t) => {
  const ask = await asking(t);
  const { sent } = await ask({ do: 'together' });
  assert.deepEqual(
    sent.map(({ command, collection }) => [command, collection]),
    [
      ['createIndex', 'c'],
      ['find', 'c'],
      ['dropIndex', 'c'],
    ],
  );
});
