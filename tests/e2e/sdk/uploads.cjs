// What the mini program hosts do for `uploadFile`: a streamed form with the file last; and what they tell of files.
'use strict';

const { randomUUID } = require('node:crypto');
const { createReadStream, statSync } = require('node:fs');
const { basename, extname } = require('node:path');
const { pipeline } = require('node:stream/promises');

const clients = { 'http:': require('node:http'), 'https:': require('node:https') };
const imageTypes = new Set(['.png', '.jpg', '.jpeg', '.gif']);

function head(boundary, formData, name, filePath) {
  const fields = Object.entries(formData).map(
    ([key, value]) =>
      `--${boundary}\r\nContent-Disposition: form-data; name="${key}"\r\n\r\n${value}\r\n`,
  );
  return Buffer.from(
    `${fields.join('')}--${boundary}\r\nContent-Disposition: form-data; name="${name}"; ` +
      `filename="${basename(filePath)}"\r\nContent-Type: application/octet-stream\r\n\r\n`,
  );
}

// Resolves to {status, text}. Certificates are checked: NODE_EXTRA_CA_CERTS names the local authority.
exports.postForm = async ({ url, formData, name, filePath, header }) => {
  const boundary = `----${randomUUID()}`;
  const first = head(boundary, formData, name, filePath);
  const last = Buffer.from(`\r\n--${boundary}--\r\n`);
  const target = new URL(url);
  const request = clients[target.protocol].request(target, {
    method: 'POST',
    headers: {
      ...header,
      'Content-Type': `multipart/form-data; boundary=${boundary}`,
      'Content-Length': first.length + statSync(filePath).size + last.length,
    },
  });
  const answered = new Promise((resolve, reject) => {
    request.on('error', reject).on('response', (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => (text += chunk)).on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, text }));
    });
  });
  async function* body() {
    yield first;
    yield* createReadStream(filePath);
    yield last;
  }
  const [{ status, text }] = await Promise.all([answered, pipeline(body, request)]);
  return { status, text };
};

exports.getFileInfo = (o) => o.complete({ size: statSync(o.filePath ?? o.apFilePath).size });

// As the hosts: the kind of an image, nothing of other files.
exports.getImageInfo = (o) => {
  const extension = extname(o.src).toLowerCase();
  o.complete(imageTypes.has(extension) ? { type: extension.slice(1) } : {});
};
