// The golden frames of tests/frames/golden.json, which the worker's side reads too.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { FrameEncoder, FrameParser } from '../src/frames.mjs';

const golden = JSON.parse(
  readFileSync(new URL('../../tests/frames/golden.json', import.meta.url), 'utf8'),
);
const forUs = golden.valid.filter((frame) => frame.direction === 'to_sandbox');
const fromUs = golden.valid.filter((frame) => frame.direction === 'to_worker');

function parse(bytes, chunkLength = bytes.length) {
  const frames = [];
  const parser = new FrameParser((header, payloadText) => frames.push({ header, payloadText }));
  for (let at = 0; at < bytes.length; at += chunkLength) {
    const chunk = Buffer.from(bytes.subarray(at, at + chunkLength));
    parser.push(chunk, chunk.length);
    chunk.fill(0); // the owner uses it again
  }
  parser.end();
  return frames;
}

for (const frame of forUs) {
  test(`reads: ${frame.name}`, () => {
    const { header, payloadText } = frame;
    assert.deepEqual(parse(Buffer.from(frame.hex, 'hex')), [{ header, payloadText }]);
  });
}

for (const frame of fromUs) {
  test(`writes: ${frame.name}`, () => {
    assert.equal(
      new FrameEncoder().encode(frame.header, frame.payloadText).toString('hex'),
      frame.hex,
    );
  });
}

test('reads frames however the stream is cut', () => {
  const all = Buffer.concat(forUs.map((frame) => Buffer.from(frame.hex, 'hex')));
  const expected = forUs.map(({ header, payloadText }) => ({ header, payloadText }));
  for (const length of [1, 2, 3, 7, 8, 9, 64, 1000]) assert.deepEqual(parse(all, length), expected);
});

test('writes a frame larger than its shared buffer', () => {
  const payload = JSON.stringify('云'.repeat(100_000));
  const frame = new FrameEncoder().encode({ t: 'result' }, payload);
  assert.equal(frame.readUInt32BE(4), Buffer.byteLength(payload));
  assert.equal(frame.toString('utf8', 8 + frame.readUInt32BE(0)), payload);
});

for (const frame of golden.malformed.filter((one) => one.direction !== 'to_worker')) {
  test(`refuses: ${frame.name}`, () => {
    const bytes = Buffer.from(frame.hex, 'hex');
    for (const length of [1, bytes.length]) {
      assert.throws(() => parse(bytes, length), { name: 'ProtocolError', code: frame.error });
    }
  });
}
