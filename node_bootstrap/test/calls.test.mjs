// ctx.mpserverless and ctx.httpclient: the official packages over `call` frames.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

/** Runs an act; every call is answered with `data`. Gives the outcome and the calls. */
async function act(
  t,
  args,
  data,
  envelope = { success: true, data, header: { x: 1 }, requestId: 'inner-1' },
) {
  const worker = await sandbox(t, 'probe');
  worker.replies = () => envelope;
  const outcome = await worker.invoke(args);
  const calls = worker.frames.filter((frame) => frame.t === 'call');
  return {
    ...outcome,
    worker,
    calls: calls.map(({ payload, ...header }) => ({ ...header, params: JSON.parse(payload) })),
  };
}

test('a database call has the wire form of the SDK, its result is hoisted', async (t) => {
  const data = { affectedDocs: 1, result: [{ _id: '5f00000000000000000000a1', n: 1 }] };
  const { value, calls, result } = await act(t, { do: 'find' }, data);
  assert.deepEqual(calls, [
    {
      t: 'call',
      id: result.id,
      call: 1,
      method: 'serverless.db.default.execute',
      params: { collection: 'c', query: { a: { $in: [null, ''] } }, options: {}, command: 'find' },
    },
  ]);
  assert.deepEqual(value, { success: true, ...data });
});

test('function.invoke resolves to {success, result, requestId}', async (t) => {
  const { value, calls } = await act(t, { do: 'invokeOther' }, [1, 2]);
  assert.deepEqual(value, { success: true, result: [1, 2], requestId: 'inner-1' });
  assert.equal(calls[0].method, 'serverless.function.runtime.invoke');
  assert.deepEqual(calls[0].params, { functionTarget: 'other', functionArgs: { a: 1 } });
});

test('function.invoke asks for a job when its third argument says so', async (t) => {
  const job = { jobId: 'job-1' };
  const sent = async (args) => {
    const { value, calls } = await act(t, { do: 'invokeLater', ...args }, job);
    assert.deepEqual(value, { success: true, result: job, requestId: 'inner-1' });
    assert.equal(calls.length, 1);
    return calls[0];
  };
  const plain = { functionTarget: 'other', functionArgs: { a: 1 } };
  const later = await sent({ options: { async: true } });
  assert.deepEqual(later.params, { ...plain, async: true });
  const keyed = await sent({ options: { async: true, idempotencyKey: 'k' }, user: 'u1' });
  assert.deepEqual(keyed.params, { ...plain, async: true, idempotencyKey: 'k' });
  assert.equal(keyed.userId, 'u1');
  for (const options of [undefined, null, {}, { async: false }, { async: 'yes' }, 'async'])
    assert.deepEqual((await sent({ options })).params, plain);
});

test('the argument checks are those of the packages', async (t) => {
  const { result, calls } = await act(t, { do: 'invokeBadly' }, 1);
  assert.equal(result.fault.code, 'ValidationFailed');
  assert.deepEqual(calls, []);
});

test('user.getInfo resolves to the data; setUserId acts as that user', async (t) => {
  const data = { user: { userId: 'u' }, userId: 'u' };
  const own = await act(t, { do: 'info' }, data);
  assert.deepEqual(own.value, data);
  assert.equal('userId' in own.calls[0], false);
  const other = await act(t, { do: 'infoAs' }, data);
  assert.equal(other.calls[0].userId, 'u1');
  assert.deepEqual(other.calls[0].params, {});
});

test('transactions carry their id', async (t) => {
  const { value, calls } = await act(
    t,
    { do: 'transaction' },
    { affectedDocs: 0, transactionId: 'tx' },
  );
  assert.equal(value, 'tx');
  assert.deepEqual(
    calls.map(({ params }) => [params.command, params.transactionId]),
    [
      ['startTransaction', undefined],
      ['insertOne', 'tx'],
      ['commitTransaction', 'tx'],
    ],
  );
});

test('httpProxyClient and file', async (t) => {
  const proxy = await act(t, { do: 'proxy' }, { status: 200 });
  assert.deepEqual(proxy.calls[0].params, {
    method: 'POST',
    url: 'http://x/',
    body: 'a=b%20c',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  });
  const upload = await act(t, { do: 'upload' }, { id: 'i', ossPath: 'p', host: 'h' });
  assert.deepEqual(upload.calls[0].params, { env: 'public', filename: 'a.png' });
  assert.equal(upload.value.key, 'p');
  const removed = await act(t, { do: 'deleteFile' }, null);
  assert.deepEqual(removed.value, { success: true, result: null });
});

test('an error of a service is thrown with its code and message', async (t) => {
  const envelope = {
    success: false,
    error: { code: 'InternalBizError', message: 'no' },
    requestId: 'i',
  };
  const { result } = await act(t, { do: 'info' }, null, envelope);
  assert.deepEqual(
    [result.fault.code, result.fault.message, result.fault.name],
    ['InternalBizError', 'no', 'Error'],
  );
});

test('a call over the limit is refused here', async (t) => {
  const { result, calls } = await act(t, { do: 'bigCall', length: 2 ** 20 }, 1);
  assert.deepEqual(calls, []);
  assert.match(result.fault.message, /have \d+ bytes, the limit is 1048576/);
});

test('more calls than may be under way are refused, the others are answered', async (t) => {
  const { value, calls } = await act(t, { do: 'manyCalls', count: 6 }, 1);
  assert.equal(calls.length, 4);
  assert.deepEqual(value, [
    'ok',
    'ok',
    'ok',
    'ok',
    'Throttling.Api.Concurrency',
    'Throttling.Api.Concurrency',
  ]);
});

test('large calls wait for the worker instead of piling up', async (t) => {
  const worker = await sandbox(t, 'probe', { limits: { callMaxBytes: 8 * 2 ** 20 } });
  worker.replies = () => ({ success: true, data: 1 });
  worker.socket.pause();
  const id = worker.begin({ do: 'bigCall', length: 7e6 });
  setTimeout(() => worker.socket.resume(), 50);
  assert.equal((await worker.outcome(id)).value.result, 1);
});

test('a long call is sent when the worker has room for it, a short one at once', async (t) => {
  const worker = await sandbox(t, 'probe');
  worker.replies = () => ({ success: true, data: 1 });
  worker.grants = false;
  const id = worker.begin({ do: 'bigCall', length: 70_000 });
  const asked = await worker.frame('reserve', id);
  assert.ok(asked.bytes > 70_000);
  // Others do not wait for it, nor does the end of an invocation.
  assert.equal((await worker.invoke({ do: 'bigCall', length: 60_000 })).value.result, 1);
  const left = await worker.invoke({ do: 'leaveBigCall', length: 70_000 });
  const late = await worker.frame('reserve', left.result.id);
  worker.grant(late);
  worker.grant({ id: 'x', call: 99 });
  worker.grant(asked);
  assert.equal((await worker.outcome(id)).value.result, 1);
  const long = worker.frames.filter((frame) => frame.t === 'call' && frame.payload.length > 65536);
  assert.deepEqual(
    long.map(({ call, payload }) => [call, payload.length]),
    [[asked.call, asked.bytes]],
  );
});

test('a kept ctx acts for the running invocation, never for the ended one', async (t) => {
  const worker = await sandbox(t, 'probe');
  worker.replies = (frame) => ({ success: true, data: frame.id });
  await worker.invoke({ do: 'keep' });
  const { value, result } = await worker.invoke({ do: 'useKept' });
  assert.equal(value, result.id);
});

test('a service call after the end is refused', async (t) => {
  const worker = await sandbox(t, 'probe');
  await worker.invoke({ do: 'useKeptLate' });
  assert.equal((await worker.invoke({ do: 'lateCode' })).value, 'InvocationEnded');
  assert.ok(!worker.frames.some((frame) => frame.t === 'call'));
});

test('a reply to an ended invocation or an unknown call is ignored', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { result } = await worker.invoke({ do: 'unanswered' });
  worker.send({ t: 'reply', id: result.id, call: 1 }, '{"success": true}');
  worker.send({ t: 'reply', id: 'x', call: 99 }, 'not even JSON');
  assert.equal((await worker.invoke({ do: 'echo', value: 1 })).value, 1);
});

test('abandoned calls give their places back', async (t) => {
  const worker = await sandbox(t, 'probe');
  for (let i = 0; i < 10; i += 1) await worker.invoke({ do: 'unanswered' });
  worker.replies = () => ({ success: true, data: 1 });
  assert.equal((await worker.invoke({ do: 'invokeOther' })).value.result, 1);
});

test('httpclient.request works without this', async (t) => {
  const server = createServer((request, response) => response.end('pong'));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const { value } = await act(t, { do: 'http', url: `http://127.0.0.1:${server.address().port}/` });
  assert.deepEqual(value, [200, 'pong']);
});
