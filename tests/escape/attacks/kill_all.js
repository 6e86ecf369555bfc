// Reaches everything that may be signalled; only its own sandbox may fall. Never without walls.
module.exports = async (ctx) => {
  const did = { signals: 1 };
  ctx.logger.info(`did ${JSON.stringify(did)}`);
  try { process.kill(-1, 'SIGKILL'); } catch {}
  return { did, got: [] };
};
