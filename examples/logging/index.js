// Everything below lands in the function's log: yunhan logs logging --space demo
module.exports = async (ctx) => {
  ctx.logger.debug('debug lines are kept like all others');
  ctx.logger.info('formats: text %s, number %d, JSON %j', '云函', 42, { nested: { value: true } });
  ctx.logger.warn('further arguments are appended', { attempt: 2 }, ['a', 'b']);
  ctx.logger.error('an error keeps its stack', new Error('only an example'));

  // console is the same log; each call is one line, whatever is in it.
  console.log('console.log is info');
  console.error('console.error is error\nand a second line of the same entry');

  return { lines: 6, requestId: ctx.requestId };
};
