// Its end is the proof: without a limit it has none.
module.exports = async () => { const kept = []; for (;;) kept.push({ text: Math.random().toString(36).repeat(50) }); };
