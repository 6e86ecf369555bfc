// One address, two methods: GET shows a form, POST reads what was filled in.
module.exports = async (ctx) => {
  const { httpMethod } = ctx.args;
  if (httpMethod === 'GET') return page(200, FORM);
  if (httpMethod !== 'POST') return page(405, '<p>GET or POST, please.</p>', { allow: 'GET, POST' });

  const fields = new URLSearchParams(bodyText(ctx.args));
  const name = (fields.get('name') || '').trim();
  if (name === '') return page(400, `<p>The name is missing.</p>${FORM}`);
  ctx.logger.info('%s wrote %d characters', name, (fields.get('message') || '').length);
  return page(200, `<p>Thank you, ${escapeHtml(name)}.</p>`);
};

// Without an action the browser sends the form back to the address that it came from.
const FORM = `<form method="post">
      <p><label>Name <input name="name" required maxlength="100"></label></p>
      <p><label>Message <textarea name="message" maxlength="1000"></textarea></label></p>
      <p><button>Send</button></p>
    </form>`;

function bodyText({ body, isBase64Encoded }) {
  return isBase64Encoded ? Buffer.from(body, 'base64').toString('utf8') : body;
}

function page(statusCode, content, headers = {}) {
  return {
    mpserverlessComposedResponse: true,
    statusCode,
    headers: { 'content-type': 'text/html; charset=utf-8', ...headers },
    body: `<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>A form</title></head>
  <body>
    ${content}
  </body>
</html>
`,
  };
}

/** What comes from outside must not become markup. */
function escapeHtml(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
