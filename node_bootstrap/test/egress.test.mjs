// Everything in Node that connects goes through the egress socket. The names that the function uses
// exist only in the proxy: a connection that passes it by cannot succeed.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { certificate } from './support/certificate.mjs';
import { listen, servers } from './support/echo.mjs';
import { Proxy } from './support/proxy.mjs';
import { sandbox } from './support/sandbox.mjs';

/** A function behind a proxy that knows `names` (name -> port on loopback). */
async function behind(t, names = {}, options = {}) {
  const proxy = await Proxy.start({
    answer: (target) => {
      const port = names[target.slice(0, target.lastIndexOf(':'))];
      return port === undefined ? undefined : { host: '127.0.0.1', port };
    },
    ...options,
  });
  t.after(() => proxy.stop());
  const worker = await sandbox(t, 'egress', { env: { YUNHAN_EGRESS: proxy.path } });
  const act = async (args) => {
    const { result, value } = await worker.invoke(args);
    assert.ok(result.ok, JSON.stringify(result.fault));
    return value;
  };
  return { proxy, act, worker };
}

const refusing = (answer) => ({ answer: () => answer });

const shapes =
  'options arguments textPort callback later hints subclass systemLookup immediately'.split(' ');
for (const shape of shapes) {
  test(`net: ${shape}`, async (t) => {
    const port = await listen(t, servers.echo());
    const { proxy, act } = await behind(t, { 'echo.test': port });
    const seen = await act({ do: 'talk', shape, host: 'echo.test', port: 7 });
    assert.equal(seen.reply, 'ping-pong');
    assert.deepEqual(seen.before, [true, true, 'opening']);
    assert.deepEqual(seen.after, [false, false]);
    assert.deepEqual(seen.addresses.remote, ['127.0.0.1', 'IPv4', 7]);
    assert.equal(seen.addresses.local.family, 'IPv4');
    assert.deepEqual(seen.seen, ['lookup', 'connect', 'ready', 'end', 'close']);
    assert.deepEqual(seen.bytes, { written: 4, read: 9 });
    assert.deepEqual(proxy.targets, ['echo.test:7']);
  });
}

test("net: the function's own lookup decides the address", async (t) => {
  const port = await listen(t, servers.echo());
  const { proxy, act } = await behind(t);
  const seen = await act({ do: 'talk', shape: 'ownLookup', address: '127.0.0.1', port });
  assert.equal(seen.reply, 'ping-pong');
  assert.deepEqual(proxy.targets, [`127.0.0.1:${port}`]);
});

test('addresses, names with other letters and bad names', async (t) => {
  const { proxy, act } = await behind(
    t,
    {},
    refusing('HTTP/1.1 502 x\r\nX-Egress-Error: EHOSTUNREACH\r\n\r\n'),
  );
  for (const host of ['::1', 'münchen.test', '1.2.3.4']) {
    assert.equal((await act({ do: 'fail', host, port: 7 })).code, 'EHOSTUNREACH');
  }
  assert.deepEqual(proxy.targets, ['[::1]:7', 'xn--mnchen-3ya.test:7', '1.2.3.4:7']);
  for (const host of ['a b', 'x\r\nHost: y', 'a'.repeat(254), 'fe80::1%lo', '[::1]']) {
    assert.equal((await act({ do: 'fail', host, port: 7 })).code, 'ENOTFOUND');
  }
  assert.equal((await act({ do: 'fail', host: '1.2.3.4', port: 0 })).code, 'ECONNREFUSED');
  assert.equal(proxy.targets.length, 3);
});

test('what Node refuses, it still refuses itself', async (t) => {
  const { proxy, act } = await behind(t);
  const refused = async (options) => act({ do: 'refuse', options });
  assert.equal(await refused({ port: 70000 }), 'ERR_SOCKET_BAD_PORT');
  assert.equal(await refused({ port: {} }), 'ERR_INVALID_ARG_TYPE');
  assert.equal(await refused({ port: 1, localAddress: 'x' }), 'ERR_INVALID_IP_ADDRESS');
  assert.equal(await refused({}), 'ERR_MISSING_ARGS');
  assert.deepEqual(proxy.targets, []);
});

test('failures have the codes and members of Node', async (t) => {
  const answers = {
    'refused:1':
      'HTTP/1.1 502 x\r\nX-Egress-Error: ECONNREFUSED\r\nX-Egress-Address: 192.0.2.1\r\n\r\n',
    'refused:8080': 'HTTP/1.1 502 x\r\nX-Egress-Error: ECONNREFUSED\r\n\r\n',
    'slow:1': 'HTTP/1.1 502 x\r\nX-Egress-Error: ETIMEDOUT\r\n\r\n',
    'unknown:1': 'HTTP/1.1 502 x\r\nX-Egress-Error: ENOTFOUND\r\n\r\n',
    'private:1':
      'HTTP/1.1 403 x\r\nX-Egress-Error: EACCES\r\nX-Egress-Reason: 10.0.0.1 is private\r\n\r\n',
    'full:1': 'HTTP/1.1 429 x\r\nX-Egress-Error: EMFILE\r\nX-Egress-Reason: 64 connections\r\n\r\n',
    'broken:1': '',
    'odd:1': 'SMTP 220\r\n\r\n',
  };
  const { act } = await behind(t, {}, { answer: (target) => answers[target] });
  const fail = (host) => act({ do: 'fail', host, port: 1 });
  assert.deepEqual(await fail('refused'), {
    code: 'ECONNREFUSED',
    message: 'connect ECONNREFUSED 192.0.2.1:1',
    syscall: 'connect',
    errno: -111,
    address: '192.0.2.1',
    port: 1,
    destroyed: true,
  });
  assert.equal((await fail('slow')).code, 'ETIMEDOUT');
  assert.deepEqual(await fail('unknown'), {
    code: 'ENOTFOUND',
    message: 'getaddrinfo ENOTFOUND unknown',
    syscall: 'getaddrinfo',
    errno: -3008,
    hostname: 'unknown',
    destroyed: true,
  });
  const refused = await fail('private');
  assert.equal(refused.code, 'EACCES');
  assert.match(refused.message, /private:1 .*policy: 10\.0\.0\.1 is private/);
  assert.match((await fail('full')).message, /EMFILE full:1 \(64 connections\)/);
  assert.equal((await fail('broken')).code, 'ECONNRESET');
  assert.equal((await fail('odd')).code, 'ECONNRESET');
  assert.equal((await act({ do: 'fetchFails', url: 'http://refused:8080/' })).code, 'ECONNREFUSED');
});

test('without a proxy a connection fails at once', async (t) => {
  const { proxy, act } = await behind(t);
  await proxy.stop();
  const { code, message } = await act({ do: 'fail', host: 'a.test', port: 1 });
  assert.equal(code, 'ENETUNREACH');
  assert.match(message, /no way out of the sandbox/);
});

test('bytes of the peer that come with the answer are not lost', async (t) => {
  const greet = (socket) => {
    socket.end('HTTP/1.1 200 OK\r\n\r\nhello, I speak first');
    return true;
  };
  const { act } = await behind(t, {}, { answer: () => undefined, serve: greet });
  for (const onread of [false, true]) {
    assert.equal(
      await act({ do: 'greeting', host: 'a.test', port: 1, onread }),
      'hello, I speak first',
    );
  }
});

test('onread, abort, timeout, reset, connecting again, unix sockets', async (t) => {
  const port = await listen(t, servers.echo());
  const silent = { serve: (_socket, target) => target === 'silent.test:1' };
  const { act, proxy } = await behind(t, { 'echo.test': port }, silent);
  assert.equal(await act({ do: 'abort', host: 'silent.test', port: 1 }), 'ABORT_ERR');
  assert.equal(await act({ do: 'idle', host: 'silent.test', port: 1 }), true);
  const echo = { host: 'echo.test', port: 7 };
  assert.deepEqual(await act({ do: 'again', ...echo }), ['ping0-pong', 'ping1-pong']);
  assert.equal(await act({ do: 'reset', ...echo }), true);
  const before = proxy.targets.length;
  const path = join(proxy.directory, 'other');
  const server = servers.echo().listen(path);
  t.after(() => server.close());
  assert.equal(await act({ do: 'unix', path }), 'ping-pong');
  assert.equal(proxy.targets.length, before);
});

test('a burst larger than the queue of the socket', async (t) => {
  const port = await listen(t, servers.echo());
  const { act, proxy } = await behind(t, { 'echo.test': port });
  const replies = await act({ do: 'many', host: 'echo.test', port: 7, count: 200 });
  assert.deepEqual(
    replies,
    Array.from({ length: 200 }, (_, i) => `n${i}-pong`),
  );
  assert.equal(proxy.targets.length, 200);
});

test('http, keep-alive, fetch, ctx.httpclient, a streamed upload', async (t) => {
  const port = await listen(t, servers.http());
  const { act, proxy } = await behind(t, { 'web.test': port });
  const url = 'http://web.test/a';
  assert.deepEqual(await act({ do: 'http', url, body: 'abc' }), { status: 200, body: 'POST /a 3' });
  assert.deepEqual(await act({ do: 'fetch', url, body: 'abc' }), {
    status: 200,
    body: 'POST /a 3',
  });
  assert.deepEqual(await act({ do: 'urllib', url }), { status: 200, body: 'GET /a 0' });
  const before = proxy.targets.length;
  assert.equal(before, 3);
  assert.equal((await act({ do: 'keepAlive', url })).length, 3);
  assert.equal(proxy.targets.length, before + 1);
  assert.equal(await act({ do: 'upload', url, megabytes: 8 }), `POST /a ${8 * 1024 * 1024}`);
  assert.ok(proxy.sentBytes > 8 * 1024 * 1024);
});

test('https: names, sessions, distrust', async (t) => {
  const port = await listen(t, servers.https());
  const { act, proxy } = await behind(t, { 'secure.test': port, 'third.test': port });
  const url = 'https://secure.test/';
  const args = { ca: certificate, url };
  assert.deepEqual(await act({ do: 'https', ...args }), { status: 200, body: 'GET / 0' });
  assert.deepEqual(await act({ do: 'sessions', ...args }), [false, true]);
  assert.equal((await act({ do: 'distrust', url })).code, 'DEPTH_ZERO_SELF_SIGNED_CERT');
  const third = { ...args, url: 'https://third.test/' };
  assert.equal((await act({ do: 'https', ...third, servername: 'other.test' })).status, 200);
  assert.equal(proxy.targets.length, 5);
});

for (const over of ['nothing', 'connecting', 'connected']) {
  test(`tls.connect over ${over}: SNI, ALPN, half-close`, async (t) => {
    const server = servers.tls();
    const names = [];
    server.on('secureConnection', (socket) => names.push(socket.servername));
    const port = await listen(t, server);
    const { act, proxy } = await behind(t, { 'secure.test': port });
    assert.deepEqual(
      await act({ do: 'tls', host: 'secure.test', port: 443, ca: certificate, over }),
      {
        alpn: 'echo',
        authorized: true,
        encrypted: true,
        reply: 'ping-pong',
        // A socket without a handle yet is a plain stream to TLS.
        ...(over === 'connecting' ? {} : { remote: '127.0.0.1' }),
      },
    );
    assert.deepEqual(names, ['secure.test']);
    assert.deepEqual(proxy.targets, ['secure.test:443']);
  });
}

test('http2 with and without TLS', async (t) => {
  const open = await listen(t, servers.http2());
  const secure = await listen(t, servers.http2s());
  const { act, proxy } = await behind(t, { 'open.test': open, 'secure.test': secure });
  const reply = { status: 200, body: 'GET / 0' };
  assert.deepEqual(await act({ do: 'http2', url: 'http://open.test' }), reply);
  assert.deepEqual(await act({ do: 'http2', url: 'https://secure.test', ca: certificate }), reply);
  assert.deepEqual(proxy.targets, ['open.test:80', 'secure.test:443']);
});

test('WebSocket', async (t) => {
  const server = servers.http();
  server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.write(Buffer.from('\x81\x05hello', 'latin1'));
  });
  const port = await listen(t, server);
  const { act, proxy } = await behind(t, { 'web.test': port });
  const reply = await act({ do: 'webSocket', url: 'ws://web.test/' });
  if (reply === 'none') return t.skip('this Node has no WebSocket');
  assert.equal(reply, 'hello');
  assert.deepEqual(proxy.targets, ['web.test:80']);
});

test('names and datagrams fail at once', async (t) => {
  const { act, proxy } = await behind(t);
  const codes = await act({ do: 'names' });
  assert.equal(codes.lookup, 'ENOTFOUND');
  assert.equal(codes.promise, 'ENOTFOUND');
  assert.deepEqual(codes.address, { address: '192.0.2.1', family: 4 });
  assert.deepEqual(codes.home, { address: '127.0.0.1', family: 4 });
  for (const error of await act({ do: 'datagrams' })) {
    assert.equal(error.code, 'EACCES');
    assert.match(error.message, /UDP does not leave a sandbox/);
  }
  assert.deepEqual(proxy.targets, []);
});

test('interfaces that the system does not tell are loopback alone', async (t) => {
  const preload = fileURLToPath(new URL('support/no_netlink.cjs', import.meta.url));
  const env = { YUNHAN_EGRESS: join(tmpdir(), 'nobody') };
  const worker = await sandbox(t, 'egress', { env, nodeArgs: ['--require', preload] });
  const { result, value } = await worker.invoke({ do: 'interfaces' });
  assert.ok(result.ok, JSON.stringify(result.fault));
  for (const interfaces of value) {
    assert.deepEqual(Object.keys(interfaces), ['lo']);
    assert.equal(interfaces.lo[0].address, '127.0.0.1');
    assert.equal(interfaces.lo[0].internal, true);
  }
});

test("interfaces that the system tells are the system's", async (t) => {
  const { act } = await behind(t);
  for (const interfaces of await act({ do: 'interfaces' })) {
    assert.deepEqual(interfaces, networkInterfaces());
  }
});

test('the variable is gone from the environment', async (t) => {
  const { act } = await behind(t);
  assert.deepEqual(await act({ do: 'environment' }), []);
});

test('without the variable the network is as the system has it', async (t) => {
  const port = await listen(t, servers.echo());
  const direct = await sandbox(t, 'egress');
  const args = { do: 'talk', shape: 'options', host: '127.0.0.1', port };
  assert.equal((await direct.invoke(args)).value.reply, 'ping-pong');
});
