// Writes golden.json: the frames of node_bootstrap/PROTOCOL.md as both languages must read and
// write them. Deliberately shares no code with either implementation. Run `node
// tests/frames/make.mjs` after a change.
import { writeFileSync } from 'node:fs';

const LIMITS = {
  resultMaxBytes: 6291456,
  callMaxBytes: 16777216,
  callsInFlightMax: 100,
  logLineMaxBytes: 32768,
  logLinesMax: 1000,
  logMaxBytes: 262144,
};

const valid = [
  // worker to sandbox
  [
    'bind',
    'to_sandbox',
    {
      t: 'bind',
      id: 'req-0001',
      space: 'mp-space-1',
      function: 'hello',
      deployment: 'dep-0001',
      codeDir: '/code',
      limits: LIMITS,
    },
  ],
  [
    'bind with an environment',
    'to_sandbox',
    {
      t: 'bind',
      id: 'req-0001',
      space: 'mp-space-1',
      function: 'hello',
      deployment: 'dep-0001',
      codeDir: '/code',
      limits: LIMITS,
    },
    '{"EMPTY":"","GREETING":"你好 😀","LINES":"one\\n\\"two\\" = 2"}',
  ],
  [
    'bind with another way to files',
    'to_sandbox',
    {
      t: 'bind',
      id: 'req-0001',
      space: 'mp-space-1',
      function: 'hello',
      deployment: 'dep-0001',
      codeDir: '/code',
      limits: LIMITS,
      files: {
        public: 'https://localhost:8743/oss',
        internal: 'http://files.yunhan.internal/oss',
      },
    },
  ],
  [
    'invoke',
    'to_sandbox',
    {
      t: 'invoke',
      id: 'req-0002',
      env: { MP_SPACE_ID: 'mp-space-1', MP_SOURCE: 'client' },
      timeoutMs: 5000,
    },
    '{"name":"yun"}',
  ],
  [
    'invoke without arguments',
    'to_sandbox',
    { t: 'invoke', id: 'req-0003', env: {}, timeoutMs: 5000 },
  ],
  [
    'invoke with text beyond ASCII',
    'to_sandbox',
    {
      t: 'invoke',
      id: 'req-0004',
      env: { MP_USER_AGENT: 'Mozilla "云函" \\ 😀\t' },
      timeoutMs: 900000,
    },
    '["云",{"😀":"\\u0000"},null,1.5]',
  ],
  [
    'invoke by an HTTP trigger',
    'to_sandbox',
    {
      t: 'invoke',
      id: 'req-0005',
      env: { MP_SPACE_ID: 'mp-space-1', MP_SOURCE: 'http' },
      timeoutMs: 5000,
      triggerPath: '/http/hello',
    },
    '{"path":"/http/hello/a","httpMethod":"GET"}',
  ],
  [
    'invoke for a user of WeChat',
    'to_sandbox',
    {
      t: 'invoke',
      id: 'req-0006',
      env: { MP_SPACE_ID: 'mp-space-1', MP_SOURCE: 'client', MP_APP_ID: 'wx0123456789abcdef' },
      timeoutMs: 5000,
      user: { openId: 'oABC-_云', appId: 'wx0123456789abcdef' },
    },
    '{"name":"yun"}',
  ],
  [
    'reply',
    'to_sandbox',
    { t: 'reply', id: 'req-0002', call: 1 },
    '{"success":true,"data":{"affectedDocs":1,"result":[]},"requestId":"req-0006"}',
  ],
  [
    'reply with an error',
    'to_sandbox',
    { t: 'reply', id: 'req-0002', call: 2 },
    '{"success":false,"error":{"code":"ParamInvalid","message":"no"},"requestId":"req-0007"}',
  ],

  ['grant', 'to_sandbox', { t: 'grant', id: 'req-0002', call: 3 }],

  // sandbox to worker
  ['hello', 'to_worker', { t: 'hello', protocol: 1, node: 'v24.19.0', pid: 4242 }],
  ['bound', 'to_worker', { t: 'bound', id: 'req-0001', ok: true, loadMs: 1.25 }],
  [
    'bound with a fault',
    'to_worker',
    {
      t: 'bound',
      id: 'req-0001',
      ok: false,
      fault: {
        name: 'Error',
        message: "Cannot find module './x'",
        code: 'MODULE_NOT_FOUND',
        stack: "Error: Cannot find module './x'\n    at Object.<anonymous> (/code/index.js:1:1)",
      },
      loadMs: 1.25,
    },
  ],
  [
    'log',
    'to_worker',
    { t: 'log', id: 'req-0002', cut: false },
    '[["info",1767225600000,"hello 云"],["error",1767225600001,"two\\nlines"]]',
  ],
  ['log that was cut', 'to_worker', { t: 'log', id: 'req-0002', cut: true }, '[]'],
  [
    'call',
    'to_worker',
    { t: 'call', id: 'req-0002', call: 1, method: 'serverless.function.runtime.invoke' },
    '{"functionTarget":"other","functionArgs":{}}',
  ],
  [
    'call as a user',
    'to_worker',
    {
      t: 'call',
      id: 'req-0002',
      call: 2,
      method: 'serverless.auth.user.getProfileInfo',
      userId: 'user-1',
    },
    '{}',
  ],
  ['reserve', 'to_worker', { t: 'reserve', id: 'req-0002', call: 3, bytes: 1048576 }],
  [
    'result',
    'to_worker',
    { t: 'result', id: 'req-0002', ok: true, runMs: 12.5, cpuMs: 3.75, rssMb: 48.5 },
    '{"greeting":"hello 云"}',
  ],
  [
    'result of undefined',
    'to_worker',
    { t: 'result', id: 'req-0003', ok: true, runMs: 0.5, cpuMs: null, rssMb: 48.5 },
    'null',
  ],
  [
    'result with a function error',
    'to_worker',
    {
      t: 'result',
      id: 'req-0002',
      ok: false,
      kind: 'function_error',
      fault: {
        name: 'TypeError',
        message: 'x is not a function',
        stack: 'TypeError: x is not a function\n    at /code/index.js:3:5',
      },
      runMs: 12.5,
      cpuMs: 3.75,
      rssMb: 48.5,
      recycle: false,
    },
  ],
  [
    'result after an unhandled rejection',
    'to_worker',
    {
      t: 'result',
      id: 'req-0002',
      ok: false,
      kind: 'function_error',
      fault: { name: 'Error', message: 'late', code: '4001', stack: 'Error: late' },
      runMs: 12.5,
      cpuMs: null,
      rssMb: 48.5,
      recycle: true,
    },
  ],
  [
    'result that cannot be serialized',
    'to_worker',
    {
      t: 'result',
      id: 'req-0002',
      ok: false,
      kind: 'result_not_serializable',
      fault: { name: 'TypeError', message: 'Do not know how to serialize a BigInt', stack: '' },
      runMs: 12.5,
      cpuMs: 3.75,
      rssMb: 48.5,
      recycle: false,
    },
  ],
  [
    'result that is too large',
    'to_worker',
    {
      t: 'result',
      id: 'req-0002',
      ok: false,
      kind: 'result_too_large',
      fault: {
        name: 'RangeError',
        message: 'the result has 7340032 bytes, the limit is 6291456',
        stack: '',
      },
      runMs: 12.5,
      cpuMs: 3.75,
      rssMb: 148.5,
      recycle: false,
    },
  ],
  ['exiting', 'to_worker', { t: 'exiting', id: 'req-0002', code: 137 }],
  ['exiting by a signal, of nobody', 'to_worker', { t: 'exiting', id: null, code: null }],
];

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
