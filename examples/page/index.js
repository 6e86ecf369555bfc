// An HTML page. A plain text would go out as text/plain; a composed response names its own type.
module.exports = async (ctx) => {
  const name = ctx.args.queryStringParameters.name || 'world';
  return {
    mpserverlessComposedResponse: true,
    statusCode: 200,
    headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' },
    body: `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>A page of a function</title></head>
  <body>
    <h1>Hello ${escapeHtml(name)}</h1>
    <p>Made at ${new Date().toISOString()} by request ${ctx.requestId}.</p>
  </body>
</html>
`,
  };
};

/** What comes from outside must not become markup. */
function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
