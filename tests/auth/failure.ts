/** What a promise rejects with. Rejects itself if that does not. */
export const failureOf = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    (value) => Promise.reject(new Error(`it was accepted: ${JSON.stringify(value)}`)),
    (error: Error) => error,
  );
