// ctx.mpserverless.file: the official class with uploads that wait for the network and tell when
// they were refused. The original holds a whole file in memory when the network is the slower one,
// looks at no answer, and then reports an upload that is not there.

/** The original's: of the whole upload. The function's own limit may be shorter. */
const UPLOAD_TIMEOUT_MS = 300_000;
const REASON_MAX_CHARACTERS = 300;

/** A subclass; the package's `upload` is the one place where bytes leave. */
export function withCarefulUploads(FunctionFileService) {
  return class extends FunctionFileService {
    async upload(host, form) {
      const answer = await this.request(host, {
        method: 'POST',
        stream: pausable(form),
        timeout: UPLOAD_TIMEOUT_MS,
        headers: form.headers(),
      });
      if (answer.status !== 200) throw refusal(answer);
    }
  };
}

/**
 * The form (a FormStream) with what `pipe` needs to hold it back: it is a stream of the oldest
 * kind, has no `pause`, and pushes its files out as fast as they are read.
 */
function pausable(form) {
  const files = form._streams.map(([, stream]) => stream);
  const start = form.resume.bind(form);
  form.readable = true; // others are not resumed
  form.pause = () => {
    for (const file of files) file.pause();
  };
  form.resume = () => {
    start();
    // One whose turn has not come has no listener yet; what it said would be lost.
    for (const file of files) if (file.listenerCount('data') > 0) file.resume();
  };
  return form;
}

function refusal({ status, data }) {
  const text = data === undefined || data === null ? '' : `${data}`;
  let told;
  try {
    told = JSON.parse(text).error;
  } catch {
    // not from us: something between answered
  }
  const reason = told?.message ?? text.slice(0, REASON_MAX_CHARACTERS);
  const error = new Error(reason || `the upload was refused with HTTP ${status}`);
  error.code = told?.code ?? 'UploadFileError';
  error.status = status;
  return error;
}
