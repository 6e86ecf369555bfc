// event.userInfo: who calls, for functions in the form of WeChat's.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

const user = { openId: 'o-1', appId: 'wx1' };

test('exports.main finds the user of WeChat in its event', async (t) => {
  const worker = await sandbox(t, 'forms/main');
  const event = async (args, options) => (await worker.invoke(args, options)).value.event;
  assert.deepEqual(await event({ a: 1 }, { user }), { a: 1, userInfo: user });
  assert.deepEqual(await event(undefined, { user }), { userInfo: user });
  assert.deepEqual(await event({ userInfo: { openId: 'forged' } }, { user }), { userInfo: user });
  assert.deepEqual(await event({ a: 1 }), { a: 1 });
  for (const args of [[1], 'text', 7, null]) assert.deepEqual(await event(args, { user }), args);
});

test('nobody without an identity at WeChat can claim one', async (t) => {
  const worker = await sandbox(t, 'forms/main');
  const userInfo = { openId: 'forged', appId: 'wx1', nickName: '云' };
  const seen = async (source, args = { userInfo }) =>
    (await worker.invoke(args, { env: { MP_SOURCE: source } })).value.event;
  for (const source of ['client', 'function']) {
    assert.deepEqual(await seen(source), { userInfo: { nickName: '云' } });
    for (const other of ['text', null, [1], 7]) {
      assert.deepEqual(await seen(source, { userInfo: other }), { userInfo: other });
    }
    assert.deepEqual(await seen(source, [{ userInfo }]), [{ userInfo }]);
  }
  assert.deepEqual(await seen('server'), { userInfo });
});

test('the user is an own member, whatever the caller names __proto__', async (t) => {
  const worker = await sandbox(t, 'forms/main');
  const id = worker.begin(undefined, { id: 'first', user });
  await worker.outcome(id);
  worker.send(
    { t: 'invoke', id: 'second', env: {}, timeoutMs: 5000, user },
    '{"__proto__": {"userInfo": 1}}',
  );
  const { value } = await worker.outcome('second');
  assert.deepEqual(value.event.userInfo, user);
});

test('plain functions get their arguments as they were sent', async (t) => {
  const worker = await sandbox(t, 'echo');
  const { value } = await worker.invoke({ a: 1 }, { user });
  assert.deepEqual(value, { a: 1 });
});
