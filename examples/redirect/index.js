// Short links: the last part of the path names the target. Only known targets: whoever could choose one
// freely would use this address to make their own look trustworthy.
const TARGETS = new Map([
  ['docs', 'https://example.com/documentation'],
  ['help', 'https://example.com/help?from=short-link'],
]);

module.exports = async (ctx) => {
  const name = ctx.args.path.split('/').pop();
  const target = TARGETS.get(name);
  if (target === undefined) {
    return { mpserverlessComposedResponse: true, statusCode: 404, body: 'no such link\n' };
  }
  ctx.logger.info('%s leads to %s', name, target);
  return { mpserverlessComposedResponse: true, statusCode: 302, headers: { location: target } };
};
