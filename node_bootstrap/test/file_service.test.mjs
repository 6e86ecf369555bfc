// ctx.mpserverless.file: the official class over the channel, its bytes through the egress socket.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import { listen } from './support/echo.mjs';
import { Proxy } from './support/proxy.mjs';
import { sandbox } from './support/sandbox.mjs';

const HOST = 'files.yunhan.internal';
const MIB = 1024 * 1024;
const SIGNED = {
  id: '0d5e4b9c-0000-4000-8000-000000000001',
  ossPath: 'mp-space/文件/a.txt',
  host: `http://${HOST}/oss`,
  policy: 'cG9saWN5',
  signature: 'c2lnbmF0dXJl',
  accessKeyId: 'yunhan',
  cdnDomain: 'localhost:8743/oss',
};

/** A sandbox without a network whose uploads arrive at `store`, noted in its `seen`. */
async function uploading(t, { refuse } = {}) {
  const seen = [];
  const store = http.createServer((request, response) => {
    const digest = createHash('sha256');
    const upload = { method: request.method, url: request.url, headers: request.headers };
    let head = '';
    upload.bytes = 0;
    request.on('data', (chunk) => {
      if (head.length < 8192) head += chunk.toString('utf8');
      upload.bytes += chunk.length;
      digest.update(chunk);
    });
    request.on('end', () => {
      seen.push({ ...upload, head });
      response.writeHead(refuse?.status ?? 200).end(refuse?.body ?? '');
    });
  });
  const port = await listen(t, store);
  const proxy = await Proxy.start({
    answer: (target) => (target === `${HOST}:80` ? { host: '127.0.0.1', port } : 'HTTP/1.1 403\r\n\r\n'),
  });
  t.after(() => proxy.stop());
  const worker = await sandbox(t, 'files', { env: { YUNHAN_EGRESS: proxy.path } });
  const calls = [];
  worker.replies = (frame) => {
    const params = JSON.parse(frame.payload);
    const method = frame.method.replace('serverless.file.resource.', '');
    calls.push([method, params]);
    const data = { generateProximalSign: SIGNED, report: { id: params.id } }[method] ?? true;
    return { success: true, data };
  };
  return { worker, seen, calls };
}

const FIELD = /name="([^"]+)"(?:; filename="([^"]+)")?(?:\r\nContent-Type: [^\r]+)?\r\n\r\n([^\r]*)/g;
const fieldsOf = (text) =>
  Object.fromEntries([...text.matchAll(FIELD)].map(([, name, file, value]) => [name, file ?? value]));

test('uploads a buffer: sign, form POST, report', async (t) => {
  const { worker, seen, calls } = await uploading(t);
  const options = {
    text: '你好',
    fileName: '问候.txt',
    cloudPath: '/文件/a.txt',
    meta: { userId: 'u1' },
    headers: { cacheControl: 'no-cache', contentDisposition: 'inline' },
  };
  const { value } = await worker.invoke({ call: 'uploadFile', options });
  assert.deepEqual(value.value, {
    fileUrl: 'https://localhost:8743/oss/mp-space/文件/a.txt',
    filePath: 'mp-space/文件/a.txt',
    fileId: SIGNED.id,
  });
  assert.deepEqual(calls, [
    ['generateProximalSign', { env: 'public', filename: '问候.txt', size: 6, fileId: '/文件/a.txt' }],
    ['report', { id: SIGNED.id }],
  ]);
  assert.equal(seen.length, 1);
  const [{ method, url, headers, bytes, head }] = seen;
  assert.deepEqual([method, url, headers.host], ['POST', '/oss', HOST]);
  assert.equal(Number(headers['content-length']), bytes);
  const fields = fieldsOf(head);
  assert.equal(fields.file, '问候.txt');
  assert.equal(fields.key, SIGNED.ossPath);
  assert.equal(fields['x-oss-meta-userId'], 'u1');
  assert.deepEqual(
    [fields['Cache-Control'], fields['Content-Disposition'], fields.policy, fields.Signature],
    ['no-cache', 'inline', SIGNED.policy, SIGNED.signature],
  );
});

test('a large file goes out piece by piece', async (t) => {
  const { worker, seen } = await uploading(t);
  const filePath = join(worker.directory, 'large.bin');
  const { result, value } = await worker.invoke({
    call: 'uploadFile',
    make: [filePath, 256],
    options: { filePath },
  });
  assert.equal(value.value?.fileId, SIGNED.id, JSON.stringify(value));
  const [{ headers, bytes, head }] = seen;
  assert.equal(Number(headers['content-length']), bytes);
  assert.ok(bytes > 256 * MIB && bytes < 256 * MIB + 4096, bytes);
  assert.equal(fieldsOf(head).file, 'large.bin');
  t.diagnostic(`peak memory ${result.rssMb} MB`);
  // A bare sandbox has some 70 MB; the file as a whole would come on top.
  assert.ok(result.rssMb < 200, `${result.rssMb} MB`);
});

test('an upload that is refused says why and is not reported', async (t) => {
  const body = JSON.stringify({ error: { code: 'InsufficientStorage', message: 'the disk is full' } });
  const { worker, calls } = await uploading(t, { refuse: { status: 507, body } });
  const options = { text: 'x', fileName: 'a.txt' };
  const { value } = await worker.invoke({ call: 'uploadFile', options });
  assert.deepEqual(value.error, {
    name: 'Error',
    code: 'InsufficientStorage',
    status: 507,
    message: 'the disk is full',
  });
  assert.deepEqual(
    calls.map(([method]) => method),
    ['generateProximalSign'],
  );
});

for (const [body, message] of [
  ['', 'the upload was refused with HTTP 502'],
  ['<html>bad gateway', '<html>bad gateway'],
  ['{"error":null}', '{"error":null}'],
]) {
  test(`a refusal with the body ${body || '(empty)'}`, async (t) => {
    const { worker } = await uploading(t, { refuse: { status: 502, body } });
    const options = { text: 'x', fileName: 'a.txt' };
    const { error } = (await worker.invoke({ call: 'uploadFile', options })).value;
    assert.deepEqual([error.code, error.status, error.message], ['UploadFileError', 502, message]);
  });
}

test('a file that is not there', async (t) => {
  const { worker, seen, calls } = await uploading(t);
  const options = { filePath: '/tmp/is-not-there.txt' };
  const { error } = (await worker.invoke({ call: 'uploadFile', options })).value;
  assert.deepEqual([error.code, seen.length, calls.length], ['UploadFileError', 0, 0]);
});

test('an empty file', async (t) => {
  const { worker, seen } = await uploading(t);
  const filePath = join(worker.directory, 'empty.txt');
  const made = { call: 'uploadFile', make: [filePath, 0], options: { filePath } };
  assert.equal((await worker.invoke(made)).value.value?.fileId, SIGNED.id);
  assert.equal(Number(seen[0].headers['content-length']), seen[0].bytes);
});

test('info, deleteFile and reportOSSUpload send what they are given', async (t) => {
  const { worker, calls } = await uploading(t);
  const fileUrl = 'https://localhost:8743/oss/mp-space/a.txt';
  await worker.invoke({ call: 'info', options: [['a', 'b'], { maxAge: 60 }] });
  await worker.invoke({ call: 'deleteFile', options: [fileUrl] });
  await worker.invoke({ call: 'deleteFile', options: [{ fileUrl }] });
  await worker.invoke({ call: 'reportOSSUpload', options: ['a', 'image/png'] });
  assert.deepEqual(calls, [
    ['info', { id: 'a,b', maxAge: 60 }],
    ['delete', { id: fileUrl }],
    ['delete', { id: { fileUrl } }],
    ['report', { id: 'a', contentType: 'image/png' }],
  ]);
});
