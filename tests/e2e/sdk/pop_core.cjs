// Carries out management actions with @alicloud/pop-core: stdin {endpoint, accessKeyId, accessKeySecret,
// steps: [[action, params, method], ...]}, stdout a JSON array of {value} or {error}. A parameter text
// "$k.Name" stands for member Name of the k-th answer; step ["put", "$k.Url", base64] uploads bytes.
'use strict';

const Core = require('@alicloud/pop-core');

let text = '';
process.stdin.on('data', (chunk) => (text += chunk)).on('end', async () => {
  const { endpoint, accessKeyId, accessKeySecret, steps } = JSON.parse(text);
  const client = new Core({ accessKeyId, accessKeySecret, endpoint, apiVersion: '2019-06-15' });
  const results = [];
  const fill = (value) => {
    const match = typeof value === 'string' && /^\$(\d+)\.(\w+)$/.exec(value);
    return match ? results[match[1]].value[match[2]] : value;
  };
  for (const [action, params, method] of steps) {
    try {
      if (action === 'put') {
        const response = await fetch(fill(params), { method: 'PUT', body: Buffer.from(method, 'base64') });
        results.push({ value: { status: response.status, body: await response.text() } });
        continue;
      }
      const filled = Object.fromEntries(Object.entries(params).map(([k, v]) => [k, fill(v)]));
      const options = { method: method || 'POST', timeout: 60000 };
      results.push({ value: await client.request(action, filled, options) });
    } catch (error) {
      results.push({ error: { code: error.code, name: error.name, data: error.data, message: error.message } });
    }
  }
  process.stdout.write(JSON.stringify(results));
});
