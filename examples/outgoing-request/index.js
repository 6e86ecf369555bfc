// Asks an HTTP server twice: with ctx.httpclient and with fetch. So that the example needs no network, the
// server is a tiny one that the function starts itself, on the loopback of its own sandbox.
const http = require('node:http');

module.exports = async (ctx) => {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method: request.method, path: request.url }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  try {
    const first = await ctx.httpclient.request(`${url}/first`, { dataType: 'json', timeout: 2000 });
    ctx.logger.info('httpclient: status %d, body %j', first.status, first.data);

    const second = await fetch(`${url}/second`, { signal: AbortSignal.timeout(2000) });
    const body = await second.json();
    ctx.logger.info('fetch: status %d, body %j', second.status, body);

    return { httpclient: first.data, fetch: body };
  } finally {
    server.closeAllConnections();
    server.close();
  }
};
