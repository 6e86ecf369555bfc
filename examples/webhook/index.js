// Takes calls of another service and checks that they come from it: the header x-signature-256 holds
// "sha256=" and the HMAC-SHA256 of the body's bytes, in hexadecimal digits, as many services send it.
const { createHmac, timingSafeEqual } = require('node:crypto');

const SECRET = 'change-me'; // both sides know it; choose a long random one

module.exports = async (ctx) => {
  // What is signed are the bytes: check them before anything parses them.
  const body = Buffer.from(ctx.args.body, ctx.args.isBase64Encoded ? 'base64' : 'utf8');
  if (!isSignedBy(SECRET, body, ctx.args.headers['x-signature-256'])) {
    ctx.logger.warn('refused %d bytes: the signature is missing or wrong', body.length);
    return answer(401, { error: 'the signature is missing or wrong' });
  }
  let event;
  try {
    event = JSON.parse(body.toString('utf8'));
  } catch {
    return answer(400, { error: 'the body is no JSON' });
  }
  ctx.logger.info('event %j', event); // here the work begins; do it once, senders repeat their calls
  return { received: true };
};

function isSignedBy(secret, body, header = '') {
  const expected = Buffer.from(`sha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const given = Buffer.from(header);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

function answer(statusCode, value) {
  return {
    mpserverlessComposedResponse: true,
    statusCode,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  };
}
