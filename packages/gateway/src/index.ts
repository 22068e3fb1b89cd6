/** `@arcp/gateway`: a model gateway that takes job credentials. */
export {};
