module.exports = async (ctx) => {
  const kept = [];
  const did = { MB: 0 };
  while (did.MB < ctx.args.mb) {
    kept.push(Buffer.alloc(32 << 20, 1));
    did.MB += 32;
    ctx.logger.info(`did ${JSON.stringify(did)}`);
    await new Promise(setImmediate);
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  return { did, got: [`${kept.length * 32} MB`] };
};
