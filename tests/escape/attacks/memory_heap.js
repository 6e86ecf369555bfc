module.exports = async () => { const kept = []; for (;;) kept.push({ text: Math.random().toString(36).repeat(50) }); };
