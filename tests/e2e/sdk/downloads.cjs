// What a URL gives: status, headers, and size and SHA-256 of the body, which is never held as a whole.
'use strict';

const { createHash } = require('node:crypto');

exports.digestOf = async (url, headers) => {
  const response = await fetch(url, { headers });
  const hash = createHash('sha256');
  let size = 0;
  for await (const chunk of response.body ?? []) {
    hash.update(chunk);
    size += chunk.length;
  }
  return {
    status: response.status,
    headers: Object.fromEntries(response.headers),
    size,
    sha256: hash.digest('hex'),
  };
};
