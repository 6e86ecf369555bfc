// Reaches everything that may be signalled; only its own sandbox may fall. Never without walls.
module.exports = async () => { try { process.kill(-1, 'SIGKILL'); } catch {} return []; };
