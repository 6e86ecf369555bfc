// ctx.httpclient and files: public addresses that a sandbox cannot reach, asked at the worker.
import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import { listen } from './support/echo.mjs';
import { Proxy } from './support/proxy.mjs';
import { sandbox } from './support/sandbox.mjs';

const INTERNAL = 'files.yunhan.internal:80';
const files = {
  public: 'https://localhost:8743/oss',
  internal: 'http://files.yunhan.internal/oss',
};

/** A sandbox without a network; `paths` is what the server of files was asked for. */
async function asking(t, options) {
  const paths = [];
  const store = http.createServer((request, response) => {
    paths.push(request.url);
    response.end('bytes');
  });
  const port = await listen(t, store);
  const proxy = await Proxy.start({
    answer: (target) =>
      target === INTERNAL
        ? { host: '127.0.0.1', port }
        : 'HTTP/1.1 403 Forbidden\r\nX-Egress-Error: EACCES\r\n\r\n',
  });
  t.after(() => proxy.stop());
  const worker = await sandbox(t, 'httpclient', {
    env: { YUNHAN_EGRESS: proxy.path },
    ...options,
  });
  const ask = async (args) => (await worker.invoke(args)).value;
  return { ask, paths, targets: proxy.targets };
}

for (const by of ['request', 'curl', 'requestThunk', 'requestWithCallback']) {
  test(`${by} finds a file by its public address`, async (t) => {
    const { ask, paths, targets } = await asking(t, { files });
    const url = `${files.public}/mp-1/a/云.png?Expires=1&Signature=a%2Fb`;
    assert.deepEqual(await ask({ url, by }), { data: 'bytes' });
    assert.deepEqual(paths, [`/oss/mp-1/a/${encodeURI('云')}.png?Expires=1&Signature=a%2Fb`]);
    assert.deepEqual(targets, [INTERNAL]);
  });
}

test('only that beginning is replaced', async (t) => {
  const { ask, paths, targets } = await asking(t, { files });
  for (const url of [
    'https://localhost:8743/',
    'https://localhost:8743/ossx/mp-1/a',
    'https://localhost:8743/oss@other.test/a',
    'https://localhost:8744/oss/mp-1/a',
    'http://localhost:8743/oss/mp-1/a',
    'https://other.test/?https://localhost:8743/oss/mp-1/a',
  ]) {
    assert.deepEqual(await ask({ url }), { code: 'EACCES' }, url);
  }
  assert.deepEqual(await ask({ url: `${files.public}/mp-1/a`, parsed: true }), { code: 'EACCES' });
  assert.deepEqual(paths, []);
  assert.ok(!targets.includes(INTERNAL), targets.join());
});

test('nothing behind it leads to another host', async (t) => {
  const { ask, targets } = await asking(t, { files });
  for (const rest of ['/@other.test/a', '//other.test/a', '/../../other.test', '/a#@other.test']) {
    assert.deepEqual(await ask({ url: `${files.public}${rest}` }), { data: 'bytes' }, rest);
  }
  assert.deepEqual([...new Set(targets)], [INTERNAL]);
});

test('without another way every address stays as it is', async (t) => {
  const { ask, targets } = await asking(t);
  assert.deepEqual(await ask({ url: `${files.public}/mp-1/a` }), { code: 'EACCES' });
  assert.deepEqual(targets, ['localhost:8743']);
});
