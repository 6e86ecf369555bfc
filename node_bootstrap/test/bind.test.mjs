// Loading a function: where its entry may be, which forms it may have, what happens when it does
// not load.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

test('says hello before any user code', async (t) => {
  const worker = await sandbox(t, null);
  assert.equal(worker.hello.protocol, 1);
  assert.match(worker.hello.node, /^v\d+\.\d+\.\d+/);
  assert.equal(worker.hello.pid, worker.process.pid);
});

const forms = {
  'forms/function': ['ctx', 7],
  'forms/default-cjs': ['default', 7],
  'forms/handler': ['handler', 7],
  'forms/esm': ['esm', 'b', 7],
  'forms/esm-type': ['esm main', 7],
  'forms/tla': 'awaited',
  'forms/cjs': 'cjs',
  'forms/in-folder': 'from the folder',
};
for (const [fixture, value] of Object.entries(forms)) {
  test(`loads ${fixture}`, async (t) => {
    const worker = await sandbox(t, fixture);
    assert.ok(worker.frames[1].loadMs > 0);
    assert.deepEqual((await worker.invoke(7)).value, value);
    assert.equal(worker.stderr.text, '');
  });
}

test('exports.main gets (event, context)', async (t) => {
  const worker = await sandbox(t, 'forms/main');
  const env = {
    MP_SPACE_ID: 'mp-space',
    MP_SOURCE: 'http',
    MP_CLIENT_IP: '1.2.3.4',
    MP_USER_AGENT: 'ua',
  };
  const { value } = await worker.invoke(
    { path: '/http/a/b/c', x: 1 },
    { id: 'http-1', env, triggerPath: '/http/a' },
  );
  assert.deepEqual(value, {
    event: { path: '/b/c', x: 1 },
    context: {
      SPACEINFO: { spaceId: 'mp-space', provider: 'aliyun' },
      SOURCE: 'http',
      FUNCTION_NAME: 'probe',
      FUNCTION_TYPE: 'cloudfunction',
      CLIENTIP: '1.2.3.4',
      CLIENTUA: 'ua',
      requestId: 'http-1',
      env,
      logger: 0,
      httpclient: 0,
      mpserverless: 0,
      basement: 0,
    },
    logger: 'function',
  });
  const paths = async (path, triggerPath) =>
    (await worker.invoke({ path }, { triggerPath })).value.event.path;
  assert.equal(await paths('/http/a', '/http/a'), '/');
  assert.equal(await paths('/http/ab', '/http/a'), '/http/ab');
  assert.equal(await paths('/a', '/'), '/a');
  assert.equal(await paths('/a', undefined), '/a');
});

test('plain functions keep the full path', async (t) => {
  const worker = await sandbox(t, 'echo');
  const { value } = await worker.invoke({ path: '/http/a/b' }, { triggerPath: '/http/a' });
  assert.equal(value.path, '/http/a/b');
});

test('finds node_modules and files of the package', async (t) => {
  const codeDir = mkdtempSync(join(tmpdir(), 'yb-code-'));
  t.after(() => rmSync(codeDir, { recursive: true }));
  mkdirSync(join(codeDir, 'node_modules/dep'), { recursive: true });
  writeFileSync(join(codeDir, 'node_modules/dep/index.js'), 'exports.name = "dep";');
  writeFileSync(join(codeDir, 'data.json'), '{"a": 1}');
  writeFileSync(
    join(codeDir, 'index.js'),
    'module.exports = () => [require("dep").name, require("./data.json").a, __dirname];',
  );
  const worker = await sandbox(t, codeDir);
  assert.deepEqual((await worker.invoke()).value, ['dep', 1, codeDir]);
});

const broken = {
  'forms/empty': {
    name: 'PackageError',
    code: 'MODULE_NOT_FOUND',
    message: /no index\.js.*"probe"/,
  },
  'forms/none': {
    name: 'PackageError',
    code: 'ENTRY_NOT_FOUND',
    message: /module\.exports = async \(ctx\)/,
  },
  'broken/throws': { name: 'TypeError', code: '4001', message: /^no configuration$/ },
  'broken/missing': {
    name: 'Error',
    code: 'MODULE_NOT_FOUND',
    message: /^Cannot find module '\.\/x'/,
  },
  'broken/syntax': { name: 'SyntaxError', message: /missing \)|Unexpected/ },
  'broken/null': { name: 'Error', message: /^null$/ },
  'broken/esm-error': { name: 'Error', code: 'ERR_MODULE_NOT_FOUND', message: /missing\.mjs/ },
};
for (const [fixture, expected] of Object.entries(broken)) {
  test(`reports ${fixture}`, async (t) => {
    const worker = await sandbox(t, null);
    const { ok, fault } = await worker.bind(fixture);
    assert.equal(ok, false);
    assert.equal(fault.name, expected.name);
    assert.equal(fault.code, expected.code);
    assert.match(fault.message, expected.message);
    assert.doesNotMatch(fault.message + fault.stack, /node_bootstrap\/(src|index)/);
    assert.doesNotMatch(fault.stack, /node:[^\n]*$/);
  });
}

test('lines of the load go to the bind id, with the place in the stack', async (t) => {
  const worker = await sandbox(t, null);
  const { fault } = await worker.bind('broken/throws');
  assert.deepEqual(worker.logs('load'), [['info', 'loading']]);
  assert.match(fault.stack, /broken\/throws\/index\.js:2/);
});

test('a rejection that nobody awaits fails the load', async (t) => {
  const worker = await sandbox(t, null);
  const { ok, fault } = await worker.bind('broken/rejects-late');
  assert.deepEqual([ok, fault.message], [false, 'at load']);
  assert.equal((await worker.exited).code, 70);
});

test('process.exit while loading keeps the log', async (t) => {
  const worker = await sandbox(t, null);
  worker.bind('broken/exit').catch(() => {});
  assert.equal((await worker.exited).code, 9);
  assert.deepEqual(worker.logs('load'), [['info', 'leaving']]);
});

for (const [what, frames] of Object.entries({
  'an invoke before bind': (worker) => worker.begin({}),
  'a second bind': (worker) => worker.bind('echo').then(() => worker.bind('echo')),
  garbage: (worker) => worker.socket.write('GET / HTTP/1.1\r\n\r\n'),
})) {
  test(`ends itself after ${what}`, async (t) => {
    const worker = await sandbox(t, null);
    await frames(worker);
    assert.equal((await worker.exited).code, 71);
    assert.match(worker.stderr.text, /yunhan bootstrap: (wrong_state|header_too_long)/);
  });
}

test('ends itself when the channel closes, without running exit listeners', async (t) => {
  const worker = await sandbox(t, 'probe');
  await worker.invoke({ do: 'value', code: 'void process.on("exit", () => { for (;;); })' });
  worker.socket.destroy();
  assert.deepEqual(await worker.exited, { code: 0, signal: null });
});

test('a file that awaits at its top level is an ES module where Node looks at the syntax', async (t) => {
  const worker = await sandbox(t, null);
  const major = Number(/^v(\d+)/.exec(worker.hello.node)[1]);
  const bound = await worker.bind('forms/detected');
  if (bound.ok) assert.equal((await worker.invoke()).value, 'detected');
  else assert.ok(major < 24, JSON.stringify(bound.fault));
});
