// Log lines: what becomes one, whose it is, and what bounds them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sandbox } from './support/sandbox.mjs';

const batches = (worker, id) =>
  worker.frames.filter((frame) => frame.t === 'log' && frame.id === id);

test('console, logger and the standard streams become entries with their level', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { logs, result } = await worker.invoke({ do: 'log' });
  const [table, trace] = logs.splice(10, 2);
  assert.deepEqual(logs, [
    ['debug', 'd a 1.5 {"x":1}'],
    ['info', 'count { n: 1 }'],
    ['warn', 'two\nlines'],
    ['error', 'shown'],
    ['info', 'log x [ 1 ]'],
    ['info', 'info'],
    ['warn', 'warn'],
    ['error', 'error'],
    ['debug', 'debug'],
    ['info', '{ deep: { er: 1 } }'],
    ['info', 'one'],
    ['info', 'two'],
    ['error', 'oops'],
    ['info', 'rest'],
  ]);
  assert.equal(table[0], 'info');
  assert.match(table[1], /index.*a.*\n/);
  assert.match(trace[1], /^Trace: here\n {4}at .*probe\/index\.js/);
  assert.equal(worker.frames.at(-1), result, 'the result is last');
  assert.equal(worker.stdout.text + worker.stderr.text, '');
});

test('other ways to the standard streams', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { logs } = await worker.invoke({ do: 'streams' });
  assert.deepEqual(logs, [
    ['info', 'by import'],
    ['error', 'ended'],
    ['error', 'still open'],
    ['info', 'a console of its own'],
    ['info', 'group'],
    ['info', 'default: 1'],
    ['warn', 'Assertion failed: asserted'],
    ['info', ''],
  ]);
});

test('entries carry the time in milliseconds', async (t) => {
  const worker = await sandbox(t, 'probe');
  const before = Date.now();
  const { result } = await worker.invoke({ do: 'surrogates' });
  const [[, timeMs, text]] = JSON.parse(batches(worker, result.id)[0].payload);
  assert.ok(timeMs >= before && timeMs <= Date.now());
  assert.equal(text, 'a\ufffdb', 'strict JSON readers refuse lone surrogates');
});

test('values that cannot be printed do not throw', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { value, logs } = await worker.invoke({ do: 'hostileLog' });
  assert.equal(value, 'survived');
  assert.deepEqual(logs.slice(1), [
    ['info', '[a value that cannot be printed: inspector]'],
    ['info', '[a value that cannot be printed: toString]'],
    ['info', 'Symbol(s) null undefined 10n'],
    ['info', '[a value that cannot be printed: toJSON]'],
  ]);
});

test('interleaved invocations keep their lines apart', async (t) => {
  const worker = await sandbox(t, 'probe');
  const ids = ['a', 'b'].map((name) => worker.begin({ do: 'interleave', name }));
  for (const id of ids) {
    const { value, logs } = await worker.outcome(id);
    assert.equal(logs.length, 40);
    assert.ok(
      logs.every(([, text]) => text.startsWith(`${value} `)),
      JSON.stringify(logs),
    );
  }
});

test('a flood is cut at the number of lines, cheaply', async (t) => {
  const worker = await sandbox(t, 'probe', { limits: { logLinesMax: 100 } });
  const { value, logs, result } = await worker.invoke({ do: 'flood', lines: 300_000 });
  assert.equal(logs.length, 100);
  assert.deepEqual(logs.at(-1), ['info', 'line 99']);
  assert.equal(batches(worker, result.id)[0].cut, false);
  assert.equal(batches(worker, result.id).at(-1).cut, true);
  assert.ok(value < 200 * 2 ** 20, `${value} bytes resident`);
});

test('many lines go out in few frames', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { logs, result } = await worker.invoke({ do: 'flood', lines: 1000 });
  assert.equal(logs.length, 1000);
  assert.ok(batches(worker, result.id).length < 200, `${batches(worker, result.id).length} frames`);
  assert.ok(batches(worker, result.id).every((frame) => !frame.cut));
});

test('all text together is bounded', async (t) => {
  const worker = await sandbox(t, 'probe', { limits: { logMaxBytes: 1000 } });
  const { logs, result } = await worker.invoke({ do: 'flood', lines: 50, text: '云'.repeat(100) });
  assert.deepEqual(
    logs.map(([, text]) => text.length),
    [100, 100, 100, 33],
  );
  assert.equal(batches(worker, result.id).at(-1).cut, true);
});

test('a long line is cut between characters, the next one is whole', async (t) => {
  const worker = await sandbox(t, 'probe', { limits: { logLineMaxBytes: 100 } });
  const { logs, result } = await worker.invoke({ do: 'longLine', characters: 10_000_000 });
  assert.deepEqual(logs, [['info', '云'.repeat(33)]]);
  assert.equal(batches(worker, result.id)[0].cut, true);
  const { logs: next, result: nextResult } = await worker.invoke({ do: 'surrogates' });
  assert.equal(next.length, 1);
  assert.equal(batches(worker, nextResult.id)[0].cut, false);
});

test('lines after the result are dropped, also while another invocation runs', async (t) => {
  const worker = await sandbox(t, 'probe');
  const first = await worker.invoke({ do: 'late' });
  const second = await worker.invoke({ do: 'lateThenWait' });
  assert.deepEqual(first.logs, [['info', 'in time']]);
  assert.deepEqual(second.logs, [['info', 'mine']]);
  assert.deepEqual(worker.logs(first.result.id), [['info', 'in time']]);
});

test('work that the module started at load belongs to the load, then to nobody', async (t) => {
  const worker = await sandbox(t, 'late');
  assert.deepEqual(worker.logs('load'), [
    ['info', 'at load'],
    ['info', 'still at load'],
  ]);
  // The first hands work to what was made at load: to its context, to its interval.
  const first = await worker.invoke({ hand: 'text of the first' });
  const second = await worker.invoke({});
  assert.deepEqual(first.logs, [['info', 'mine']]);
  assert.deepEqual(second.logs, [['info', 'mine']]);
  assert.deepEqual(worker.logs('load').length, 2);
});

test('nothing that an invocation left behind writes into the next one, in whatever context', async (t) => {
  const worker = await sandbox(t, 'probe');
  const first = await worker.invoke({ do: 'leftovers' });
  const { logs } = await worker.invoke({ do: 'useLogger' });
  assert.deepEqual(logs, [['info', 'mine']]);
  assert.deepEqual(worker.logs(first.result.id), []);
});

test('a printed stack shows the frames of the function, not ours', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { logs } = await worker.invoke({ do: 'stack' });
  const stream = logs.slice(1, -1).map(([, text]) => text);
  assert.equal(logs[0][1], stream.join('\n'));
  assert.match(logs[0][1], /^Error: shown\n {4}at .*probe.index\.js/);
  assert.doesNotMatch(logs[0][1], /node_bootstrap.src/);
  const inJson = JSON.parse(logs.at(-1)[1]).stack;
  assert.match(inJson, /^Error: shown\n/, 'a line that is more than a frame stays');
});

test('a logged error shows the frames of the function, not ours', async (t) => {
  const worker = await sandbox(t, 'probe');
  const { logs } = await worker.invoke({
    do: 'value',
    code: "console.error('failed:', { cause: new Error('inner') })",
  });
  const [[level, text]] = logs;
  assert.equal(level, 'error');
  assert.match(text, /Error: inner\n\s+at eval/);
  assert.match(text, /probe.index\.js/);
  assert.doesNotMatch(text, /node_bootstrap.src/);
});
