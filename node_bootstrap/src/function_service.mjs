// ctx.mpserverless.function with what the official service drops: the third argument of `invoke`.

/**
 * The official service, but `invoke(name, args, {async: true, idempotencyKey})` asks for an asynchronous
 * job: it resolves to `{success, result: {jobId}, requestId}` as soon as the job is accepted. Its own
 * checks hold for both; without `async: true` options are dropped, as the original drops them.
 */
export function withJobs(FunctionService) {
  return class extends FunctionService {
    invoke(functionTarget, functionArgs, options) {
      if (options?.async !== true) return super.invoke(functionTarget, functionArgs);
      const { idempotencyKey } = options;
      const transport = Object.create(this.transport);
      transport.request = (encoder) => {
        Object.assign(encoder.body.params, { async: true, idempotencyKey });
        return this.transport.request(encoder);
      };
      return new FunctionService(transport).invoke(functionTarget, functionArgs);
    }
  };
}
