// Reads {endpoint, spaceId, serverSecret, options, functionName, steps} as JSON from stdin, carries the steps
// out with the official server SDK and prints one JSON array: {value} or {error} for each step.
// A step is [action, ...arguments]; ["as", userId, action, ...arguments] does it for that user.
'use strict';

const { generateKeyPairSync } = require('node:crypto');

const { digestOf } = require('./downloads.cjs');

const read = () =>
  new Promise((resolve) => {
    let text = '';
    process.stdin.on('data', (chunk) => (text += chunk)).on('end', () => resolve(JSON.parse(text)));
  });

// A good key of nobody.
const someKey = () =>
  generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs8', format: 'pem' });

const fileOptions = ({ text, ...options }) =>
  text === undefined ? options : { ...options, fileBuffer: Buffer.from(text) };

const actionsOf = (mp) => ({
  as: (userId, name, ...args) => actionsOf(mp.setUserId(userId))[name](...args),
  invoke: (name, args) => mp.function.invoke(name, args),
  invokeMany: (name, count) =>
    Promise.all(Array.from({ length: count }, (_, i) =>
      mp.setUserId(`user-${i}`).function.invoke(name, { i }))),
  getInfo: (options) => mp.user.getInfo(options),
  uploadOptions: (options) => mp.file.getUploadFileOptions(options),
  upload: (options) => mp.file.uploadFile(fileOptions(options)),
  report: (id, contentType) => mp.file.reportOSSUpload(id, contentType),
  info: (ids, options) => mp.file.info(ids, options),
  remove: (file) => mp.file.deleteFile(file),
  fetch: (url, headers) => digestOf(url, headers),
  http: (name, ...args) => mp.httpProxyClient[name](...args),
  db: (collection, name, ...args) => mp.db.collection(collection)[name](...args),
  redis: (...commands) => mp.user.redisCli(commands),
});

async function main() {
  const { endpoint, spaceId, serverSecret, options, functionName, steps } = await read();
  if (functionName) process.env.FC_FUNCTION_NAME = functionName;
  const { default: MPServerless } = require('@alicloud/mpserverless-node-sdk');
  const mp = new MPServerless({
    spaceId, serverSecret: serverSecret ?? someKey(), endpoint, timeout: 60000, ...options,
  });
  const actions = actionsOf(mp);
  const results = [];
  for (const [name, ...args] of steps) {
    try {
      results.push({ value: await actions[name](...args) });
    } catch (error) {
      results.push({ error: { isError: error instanceof Error, code: error.code, message: error.message } });
    }
  }
  process.stdout.write(JSON.stringify(results));
}

main();
