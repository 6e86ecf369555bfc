// Writes golden.json: the frames of node_bootstrap/PROTOCOL.md as both languages must read and
// write them. Deliberately shares no code with either implementation. Run `node
// tests/frames/make.mjs` after a change.
import { writeFileSync } from 'node:fs';
import { LIMITS, valid } from './valid.mjs';

function frame(header, payload = Buffer.alloc(0)) {
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32BE(header.length, 0);
  lengths.writeUInt32BE(payload.length, 4);
  return Buffer.concat([lengths, header, payload]);
}
const lengths = (header, payload) => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(header, 0);
  bytes.writeUInt32BE(payload, 4);
  return bytes;
};
const text = (header, payload = '') => frame(Buffer.from(header), Buffer.from(payload));

const malformed = [
  // broken whatever the direction
  ['header longer than 64 KiB', 'both', lengths(65537, 0), 'header_too_long'],
  ['header length of 4 GiB', 'both', lengths(0xffffffff, 0), 'header_too_long'],
  [
    'payload length of 4 GiB',
    'both',
    Buffer.concat([lengths(13, 0xffffffff), Buffer.from('{"t":"hello"}')]),
    'payload_too_long',
  ],
  ['empty header', 'both', text(''), 'header_not_json'],
  ['header that is not JSON', 'both', text('{"t":"hello"'), 'header_not_json'],
  [
    'header that is not UTF-8',
    'both',
    frame(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])),
    'header_not_utf8',
  ],
  ['header that is an array', 'both', text('["hello"]'), 'header_not_object'],
  ['header that is null', 'both', text('null'), 'header_not_object'],
  ['header without t', 'both', text('{"id":"req-0001"}'), 'unknown_type'],
  ['header whose t is a number', 'both', text('{"t":1}'), 'unknown_type'],
  ['header with an unknown t', 'both', text('{"t":"goodbye"}'), 'unknown_type'],
  ['header with an inherited name as t', 'both', text('{"t":"constructor"}'), 'unknown_type'],
  [
    'text in another protocol',
    'both',
    Buffer.from('GET / HTTP/1.1\r\nhost: x\r\n\r\n'),
    'header_too_long',
  ],
  ['end of the stream inside the lengths', 'both', Buffer.from([0, 0, 0]), 'truncated'],
  [
    'end of the stream inside the header',
    'both',
    Buffer.concat([lengths(100, 0), Buffer.from('{"t":')]),
    'truncated',
  ],
  // a frame of the other side
  [
    'invoke sent to the worker',
    'to_worker',
    text('{"t":"invoke","id":"req-0002","env":{},"timeoutMs":5000}', '{}'),
    'unknown_type',
  ],
  [
    'result sent to the sandbox',
    'to_sandbox',
    text('{"t":"result","id":"req-0002","ok":true,"runMs":1,"cpuMs":1,"rssMb":1}', '1'),
    'unknown_type',
  ],
  [
    'end of the stream inside the payload',
    'to_worker',
    text('{"t":"log","id":"req-0002","cut":false}', '[["info",1,"x"]]').subarray(0, -2),
    'truncated',
  ],
  // members
  [
    'hello without a protocol',
    'to_worker',
    text('{"t":"hello","node":"v24.19.0","pid":1}'),
    'bad_member',
  ],
  [
    'result without an id',
    'to_worker',
    text('{"t":"result","ok":true,"runMs":1,"cpuMs":1,"rssMb":1}', '1'),
    'bad_member',
  ],
  [
    'result whose ok is text',
    'to_worker',
    text('{"t":"result","id":"req-0002","ok":"true","runMs":1,"cpuMs":1,"rssMb":1}', '1'),
    'bad_member',
  ],
  [
    'result of an unknown kind',
    'to_worker',
    text(
      '{"t":"result","id":"req-0002","ok":false,"kind":"ok","fault":{"name":"E","message":"","stack":""},"runMs":1,"cpuMs":1,"rssMb":1,"recycle":false}',
    ),
    'bad_member',
  ],
  [
    'result without its fault',
    'to_worker',
    text(
      '{"t":"result","id":"req-0002","ok":false,"kind":"function_error","runMs":1,"cpuMs":1,"rssMb":1,"recycle":false}',
    ),
    'bad_member',
  ],
  [
    'result with negative time',
    'to_worker',
    text('{"t":"result","id":"req-0002","ok":true,"runMs":-1,"cpuMs":1,"rssMb":1}', '1'),
    'bad_member',
  ],
  [
    'exiting with a code that is text',
    'to_worker',
    text('{"t":"exiting","id":"req-0002","code":"1"}'),
    'bad_member',
  ],
  [
    'call with text as its number',
    'to_worker',
    text('{"t":"call","id":"req-0002","call":"1","method":"m"}', '{}'),
    'bad_member',
  ],
  [
    'reserve with a payload',
    'to_worker',
    text('{"t":"reserve","id":"req-0002","call":3,"bytes":1}', '1'),
    'payload_too_long',
  ],
  [
    'reserve without its bytes',
    'to_worker',
    text('{"t":"reserve","id":"req-0002","call":3}'),
    'bad_member',
  ],
  [
    'grant without a call',
    'to_sandbox',
    text('{"t":"grant","id":"req-0002"}'),
    'bad_member',
  ],
  [
    'call without a method',
    'to_worker',
    text('{"t":"call","id":"req-0002","call":1}', '{}'),
    'bad_member',
  ],
  [
    'log whose payload is not JSON',
    'to_worker',
    text('{"t":"log","id":"req-0002","cut":false}', '[["info",1'),
    'bad_payload',
  ],
  [
    'log with an unknown level',
    'to_worker',
    text('{"t":"log","id":"req-0002","cut":false}', '[["fatal",1,"x"]]'),
    'bad_payload',
  ],
  [
    'log line without text',
    'to_worker',
    text('{"t":"log","id":"req-0002","cut":false}', '[["info",1]]'),
    'bad_payload',
  ],
  [
    'bind without limits',
    'to_sandbox',
    text(
      '{"t":"bind","id":"req-0001","space":"s","function":"f","deployment":"d","codeDir":"/code"}',
    ),
    'bad_member',
  ],
  [
    'bind with half a way to files',
    'to_sandbox',
    text(
      JSON.stringify({
        t: 'bind',
        id: 'req-0001',
        space: 's',
        function: 'f',
        deployment: 'd',
        codeDir: '/code',
        limits: LIMITS,
        files: { public: 'https://localhost:8743/oss' },
      }),
    ),
    'bad_member',
  ],
  [
    'invoke without an id',
    'to_sandbox',
    text('{"t":"invoke","env":{},"timeoutMs":5000}', '{}'),
    'bad_member',
  ],
];

const golden = {
  valid: valid.map(([name, direction, header, payloadText = '']) => ({
    name,
    direction,
    header,
    payloadText,
    hex: text(JSON.stringify(header), payloadText).toString('hex'),
  })),
  malformed: malformed.map(([name, direction, bytes, error]) => ({
    name,
    direction,
    hex: bytes.toString('hex'),
    error,
  })),
};
writeFileSync(new URL('golden.json', import.meta.url), JSON.stringify(golden, null, 1) + '\n');
