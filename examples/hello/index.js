module.exports = async (ctx) => {
  const name = ctx.args.name || 'world';
  ctx.logger.info('greeting %s', name);
  return { text: `hello ${name}` };
};
