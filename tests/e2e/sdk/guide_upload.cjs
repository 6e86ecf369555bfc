// The guide's upload from a server (SDK guide §3.1): pop-core, curl, pop-core. Reads {endpoint, accessKeyId,
// accessKeySecret, spaceId, filename, contentType, local, steps: [[]]} and prints [{value: {id, curl, found}}].
'use strict';

const { execFileSync } = require('node:child_process');
const Core = require('@alicloud/pop-core');

let text = '';
process.stdin.on('data', (chunk) => (text += chunk)).on('end', async () => {
  const given = JSON.parse(text);
  const { endpoint, accessKeyId, accessKeySecret, spaceId: SpaceId, contentType } = given;
  const client = new Core({ accessKeyId, accessKeySecret, endpoint, apiVersion: '2019-06-15' });
  const common = { RegionId: 'cn-hangzhou', SpaceId };
  const asked = { ...common, Filename: given.filename, Size: 240, ContentType: contentType };
  const { Id, SignUrl } = await client.request('DescribeFileUploadSignedUrl', asked, { method: 'POST' });
  const script = `curl -sS -w '%{http_code}' -X PUT -H 'Content-Type:${contentType}' -T '${given.local}' '${SignUrl}'`;
  const curl = execFileSync('sh', ['-c', script], { encoding: 'utf8' });
  await client.request('RegisterFile', { ...common, Id }, { method: 'POST' });
  await client.request('RegisterFile', { ...common, Id }, { method: 'POST' });
  const found = await client.request('ListFile', { ...common, FileId: Id }, { method: 'POST' });
  process.stdout.write(JSON.stringify([{ value: { id: Id, curl, found } }]));
});
