// Running invocations: ctx, results, errors, the end of the process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

const run = async (t, args, options) => (await sandbox(t, 'probe', options)).invoke(args);
const evaluated = (t, code, options) => run(t, { do: 'value', code }, options);
const thrown = async (t, code) => (await run(t, { do: 'throw', code })).result;

test('arguments arrive untouched and results come back', async (t) => {
  const worker = await sandbox(t, 'echo');
  for (const value of [{ a: [1, 'ä', '云', '\u0000', '\ud800'] }, 'text', 1.5, [], false]) {
    assert.deepEqual((await worker.invoke(value)).value, value);
  }
  assert.deepEqual((await worker.invoke()).value, {});
});

test('ctx has its members, own and enumerable', async (t) => {
  const { value, result } = await run(t, { do: 'context' });
  const keys = ['args', 'basement', 'env', 'httpclient', 'logger', 'mpserverless', 'requestId'];
  assert.deepEqual(value, {
    keys,
    spread: keys,
    env: { MP_SPACE_ID: 'mp-space', MP_SOURCE: 'client' },
    requestId: result.id,
    same: true,
    logger: ['debug', 'error', 'info', 'warn'],
    client: ['function', 'function'],
    channel: [],
    functionName: 'probe',
    timeZone: 'UTC',
    argv: value.argv,
    handles: value.handles,
  });
  assert.match(value.argv.join(), /probe\/index\.js$/);
});

test('members of ctx can be assigned', async (t) => {
  assert.deepEqual((await run(t, { do: 'assign' })).value, [1, 2, 2]);
});

test('figures: run time, cpu time, memory', async (t) => {
  const { result } = await evaluated(t, '(() => { for (let i = 0; i < 3e7; i += 1); })()');
  assert.ok(result.runMs > 0 && result.cpuMs > 0 && result.rssMb > 10, JSON.stringify(result));
});

for (const code of ['undefined', 'null', '() => 1', 'Symbol("s")', 'Promise.resolve()']) {
  test(`${code} is sent as null`, async (t) => {
    const { result } = await evaluated(t, code);
    assert.deepEqual([result.ok, result.payload], [true, 'null']);
  });
}

const unserializable = {
  '10n': /BigInt/,
  '(() => { const a = {}; a.a = a; return a; })()': /circular/,
  '({ toJSON() { throw new RangeError("no JSON"); } })': /no JSON/,
  '({ get a() { throw null; } })': /null/,
};
for (const [code, reason] of Object.entries(unserializable)) {
  test(`${code} is not serializable`, async (t) => {
    const { result } = await evaluated(t, code);
    assert.deepEqual(
      [result.ok, result.kind, result.recycle, result.payload],
      [false, 'result_not_serializable', false, ''],
    );
    assert.match(result.fault.message, reason);
  });
}

test('a result over the limit is refused with its size', async (t) => {
  const worker = await sandbox(t, 'probe', { limits: { resultMaxBytes: 10 } });
  const value = async (code) => (await worker.invoke({ do: 'value', code })).result;
  assert.equal((await value('"12345678"')).ok, true);
  const { kind, fault } = await value('"云云云"');
  assert.deepEqual(
    [kind, fault.message],
    ['result_too_large', 'the result has 11 bytes, the limit is 10 bytes'],
  );
});

test('a result of 100 MB is refused, the sandbox goes on', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { result } = await worker.invoke({ do: 'value', code: '"x".repeat(100e6)' });
  assert.deepEqual([result.kind, result.recycle], ['result_too_large', false]);
  const endless = '(() => { const part = "x".repeat(2 ** 27); return Array(8).fill(part); })()';
  assert.equal(
    (await worker.invoke({ do: 'value', code: endless })).result.kind,
    'result_too_large',
  );
  assert.equal((await worker.invoke({ do: 'echo', value: 1 })).value, 1);
});

test('a result larger than the socket takes at once arrives whole', async (t) => {
  const { value } = await evaluated(t, '"云".repeat(1500000)');
  assert.equal(value, '云'.repeat(1500000));
});

test('a thrown error becomes a fault without our frames', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { result } = await worker.invoke({ do: 'reject', code: 4001 });
  assert.deepEqual([result.kind, result.recycle, result.payload], ['function_error', false, '']);
  const { name, message, code, stack } = result.fault;
  assert.deepEqual([name, message, code], ['Error', 'refused', '4001']);
  assert.match(stack, /^Error: refused\n {4}at .*probe\/index\.js/);
  assert.doesNotMatch(stack, /node_bootstrap\/src|node:/);
  assert.equal((await worker.invoke({ do: 'reject', code: 'X' })).result.fault.code, 'X');
  assert.equal((await worker.invoke({ do: 'reject', code: {} })).result.fault.code, undefined);
});

test('arguments that are not JSON are an error of the call', async (t) => {
  const worker = await sandbox(t, 'echo');
  worker.send({ t: 'invoke', id: 'bad', env: {}, timeoutMs: 1 }, '{"a":');
  const { result } = await worker.outcome('bad');
  assert.equal(result.fault.name, 'SyntaxError');
  assert.match(result.fault.message, /not JSON/);
});

const hostile = {
  '"text"': ['Error', /^text$/],
  null: ['Error', /^null$/],
  undefined: ['Error', /^undefined$/],
  'Symbol("s")': ['Error', /^Symbol\(s\)$/],
  '42n': ['Error', /^42n$/],
  '({ code: 7, message: "plain" })': ['Error', /^plain$/],
  '({ a: 1 })': ['Error', /a: 1/],
  'new Proxy({}, { get() { throw 1; }, ownKeys() { throw 2; }, getPrototypeOf() { throw 3; } })': [
    'Error',
    /./,
  ],
  'Object.defineProperty(new Error("x"), "message", { get() { throw new Error("no"); } })': [
    'Error',
    /./,
  ],
  'Object.assign(new Error("x"), { stack: { toString: 1 }, name: Symbol("n") })': ['Error', /^x$/],
  '(() => { const e = new Error("loop"); e.cause = e; return e; })()': ['Error', /^loop$/],
  '() => 1': ['Error', /./],
  'Object.assign(Object.create(null), { name: 5, code: NaN })': ['Error', /./],
};
for (const [code, [name, message]] of Object.entries(hostile)) {
  test(`thrown: ${code}`, async (t) => {
    const { kind, fault } = await thrown(t, code);
    assert.equal(kind, 'function_error');
    if (name !== 'Error' || !code.includes('() => 1')) assert.equal(fault.name, name);
    assert.match(fault.message, message);
  });
}

test('huge messages are cut so that the header holds them', async (t) => {
  const worker = await sandbox(t, 'probe');
  const fault = async (code) => (await worker.invoke({ do: 'throw', code })).result.fault;
  const long = await fault('new Error("云".repeat(1e6))');
  assert.ok(
    Buffer.byteLength(long.message) <= 8 * 1024 && Buffer.byteLength(long.stack) <= 16 * 1024,
  );
  assert.doesNotMatch(long.message, /\ufffd/);
  const escaped = await fault(
    'Object.assign(new Error("\\u0001".repeat(1e5)), { code: "\\u0002".repeat(1e4) })',
  );
  assert.ok(escaped.message.length >= 1000);
  assert.doesNotMatch((await fault('new Error("a\\ud800b")')).message, /[\ud800-\udfff]/);
});

test('causes are appended to the stack', async (t) => {
  const { fault } = await thrown(
    t,
    'new Error("outer", { cause: new TypeError("inner", { cause: "root" }) })',
  );
  assert.match(
    fault.stack,
    /^Error: outer[^]*\nCaused by: TypeError: inner[^]*\nCaused by: Error: root$/,
  );
});

test('two invocations at once: both answered, cpu time of neither known', async (t) => {
  const worker = await sandbox(t, 'probe');
  const first = worker.begin({ do: 'wait', name: 'a' });
  const second = worker.begin({ do: 'wait', name: 'b' });
  await worker.invoke({ do: 'release', name: 'b' });
  assert.equal((await worker.outcome(second)).value, 'b');
  await worker.invoke({ do: 'release', name: 'a' });
  const { value, result } = await worker.outcome(first);
  assert.deepEqual([value, result.cpuMs], ['a', null]);
  assert.notEqual((await worker.invoke({ do: 'echo' })).result.cpuMs, null);
});

for (const code of [0, 1, 42]) {
  test(`process.exit(${code}) after log lines: the lines arrive, no result`, async (t) => {
    const worker = await sandbox(t, 'probe');
    const id = worker.begin({ do: 'exit', code });
    assert.equal((await worker.exited).code, code);
    assert.equal(worker.logs(id).length, 51);
    assert.deepEqual(worker.logs(id).at(-1), ['info', 'no line feed']);
    assert.ok(!worker.frames.some((frame) => frame.t === 'result'));
    assert.deepEqual(farewell(worker), [id, code]);
  });
}

/** Who ended the process and how, as its last frame says. */
function farewell(worker) {
  const last = worker.frames.at(-1);
  assert.equal(last.t, 'exiting');
  return [last.id, last.code];
}

for (const [code, told] of [
  ['process.exit(-1)', 255],
  ['process.exit("3")', 3],
  ['setTimeout(() => process.exit(9), 1); return new Promise(() => {})', 9],
]) {
  test(`of several the one that calls ${code} is named`, async (t) => {
    const worker = await sandbox(t, 'probe');
    worker.begin({ do: 'wait', name: 'n' });
    const id = worker.begin({ do: 'value', code: `(() => { ${code} })()` });
    assert.equal((await worker.exited).code, told);
    assert.deepEqual(farewell(worker), [id, told]);
  });
}

test('process.abort names who calls it', async (t) => {
  const worker = await sandbox(t, 'probe');
  worker.begin({ do: 'wait', name: 'n' });
  const id = worker.begin({ do: 'value', code: 'process.abort()' });
  assert.equal((await worker.exited).signal, 'SIGABRT');
  assert.deepEqual(farewell(worker), [id, null]);
});

test('an exit left behind names the one that left it', async (t) => {
  const worker = await sandbox(t, 'probe');
  const code = 'void setTimeout(() => process.exit(5), 20)';
  const first = await worker.invoke({ do: 'value', code });
  worker.begin({ do: 'wait', name: 'n' });
  assert.equal((await worker.exited).code, 5);
  assert.deepEqual(farewell(worker), [first.result.id, 5]);
});

test('process.exit waits for a worker that reads slowly', async (t) => {
  const worker = await sandbox(t, 'probe', { limits: { logMaxBytes: 2 ** 20 } });
  worker.socket.pause();
  const id = worker.begin({ do: 'exitFlood' });
  setTimeout(() => worker.socket.resume(), 100); // a megabyte does not fit into the socket
  assert.equal((await worker.exited).code, 5);
  assert.equal(worker.logs(id).length, 1000);
});

test('a line before an endless loop arrives', async (t) => {
  const worker = await sandbox(t, 'probe');
  const id = worker.begin({ do: 'loop' });
  await worker.frame('log', id);
  assert.deepEqual(worker.logs(id), [['info', 'before the loop']]);
});

for (const [act, message] of [
  ['timerThrow', 'in a timer'],
  ['rejectUnheard', 'nobody awaits'],
]) {
  test(`${act} fails its own invocation and ends the process`, async (t) => {
    const worker = await sandbox(t, 'probe');
    const neighbour = worker.begin({ do: 'wait', name: 'n' });
    const { result, logs } = await worker.invoke({ do: act });
    assert.deepEqual(
      [result.kind, result.fault.message, result.recycle],
      ['function_error', message, true],
    );
    assert.match(logs[0][1], new RegExp(`^Uncaught \\w*Error: ${message}\n`));
    assert.equal((await worker.exited).code, 70);
    assert.ok(!worker.frames.some((frame) => frame.t === 'result' && frame.id === neighbour));
    assert.deepEqual(farewell(worker), [result.id, 70]);
  });
}

test('an error that is nobody\'s ends the one invocation, which does not learn its text', async (t) => {
  const worker = await sandbox(t, 'late');
  const { result, logs } = await worker.invoke({ fail: 'secret of another' });
  const { name, stack } = result.fault;
  assert.deepEqual([result.ok, result.recycle, name], [false, true, 'UncaughtError']);
  assert.match(stack, /\n {4}at .*late.index\.js/);
  assert.doesNotMatch(JSON.stringify([result, logs]), /secret/);
  assert.equal((await worker.exited).code, 70);
});

test('inner errors are shown, not without end', async (t) => {
  const any = (await run(t, { do: 'any' })).result.fault;
  assert.match(any.stack, /^AggregateError: .*\n/);
  assert.match(any.stack, /Inner error 1 of 2: Error: reason 1\n[^]*Inner error 2 of 2: Error: reason 2/);
  const hostile = (await run(t, { do: 'hostileErrors' })).result.fault;
  assert.match(hostile.stack, /Inner error 5 of 1002: [^]*Caused by: Error: c/);
  assert.doesNotMatch(hostile.stack, /Inner error 6/);
});

test('a rejection that an ended invocation left behind harms nobody', async (t) => {
  const worker = await sandbox(t, 'probe');
  await worker.invoke({ do: 'lateRejection' });
  assert.equal((await worker.invoke({ do: 'lateThenWait' })).result.ok, true);
});

for (const pauseMs of [0, 30]) {
  test(`an exception left behind does not fail the next one, the last, ${pauseMs} ms later`, async (t) => {
    const worker = await sandbox(t, 'probe');
    const first = await worker.invoke({ do: 'lateThrow' });
    assert.deepEqual([first.result.ok, first.result.recycle], [true, undefined]);
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const { result, logs } = await worker.invoke({ do: 'lateThenWait' });
    assert.deepEqual([result.ok, result.recycle], [true, true]);
    assert.deepEqual(logs, [['info', 'mine']]);
  });
}

test('handlers of the function decide instead of ours', async (t) => {
  assert.deepEqual((await run(t, { do: 'ownHandler' })).value, ['mine']);
});

for (const fail of [false, true]) {
  test(`patched builtins and prototypes forge nothing (${fail ? 'error' : 'result'})`, async (t) => {
    const worker = await sandbox(t, 'probe');
    const { result, logs } = await worker.invoke({ do: 'poison', fail });
    assert.deepEqual(logs, [['info', 'poisoned']]);
    assert.equal(result.ok, !fail);
    if (fail) assert.equal(result.fault.message, 'as told');
    else assert.equal(result.payload, '"plain"');
    assert.ok(result.runMs > 0);
  });
}
