// Calls the function hello of the same space, which has to be deployed too.
module.exports = async (ctx) => {
  const name = ctx.args.name || 'call-other';
  const { result, requestId } = await ctx.mpserverless.function.invoke('hello', { name });
  ctx.logger.info('hello answered %j under request id %s', result, requestId);
  return { answer: result.text, calledRequestId: requestId };
};
