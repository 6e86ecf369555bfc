// The environment variables that come with the bind frame.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

const bound = (t, variables) =>
  sandbox(t, 'environment', { variables: JSON.stringify(variables) });

test('variables are there before any user code, in children too, and not in ctx.env', async (t) => {
  const text = '云 😀 "quoted" = $HOME';
  const worker = await bound(t, { GREETING: text, EMPTY: '', LINES: 'a\nb' });
  const { value } = await worker.invoke({ name: 'GREETING' });
  assert.equal(value.atLoad.GREETING, text);
  assert.equal(value.atLoad.EMPTY, '');
  assert.equal(value.atLoad.LINES, 'a\nb');
  assert.equal(value.now, text);
  assert.equal(value.inChild, text);
  assert.deepEqual(value.ctxEnv, { MP_SPACE_ID: 'mp-space', MP_SOURCE: 'client' });
  assert.doesNotMatch(value.argv.join(' '), /quoted/);
});

test('what the platform sets wins', async (t) => {
  const worker = await bound(t, { FC_FUNCTION_NAME: 'another' });
  const { value } = await worker.invoke({ name: 'FC_FUNCTION_NAME' });
  assert.deepEqual([value.atLoad.FC_FUNCTION_NAME, value.now], ['probe', 'probe']);
});

test('a function chooses its time zone', async (t) => {
  const worker = await bound(t, { TZ: 'Asia/Shanghai' });
  assert.equal((await worker.invoke({ name: 'TZ' })).value.hour, 8);
});

test('without variables the process has its own only', async (t) => {
  const worker = await sandbox(t, 'environment');
  const { value } = await worker.invoke({ name: 'GREETING' });
  assert.equal(value.now, undefined);
  assert.equal(value.hour, 0);
});

for (const payload of ['{"SECRET":"hush', '["hush"]', '"hush"', 'null', '{"SECRET":1}']) {
  test(`ends itself after the environment ${payload}, quoting nothing`, async (t) => {
    const worker = await sandbox(t, null);
    worker.bind('environment', { variables: payload }).catch(() => {});
    assert.equal((await worker.exited).code, 71);
    assert.match(worker.stderr.text, /^yunhan bootstrap: bad_payload: the environment is not /);
    assert.doesNotMatch(worker.stderr.text, /hush|SECRET/);
  });
}
