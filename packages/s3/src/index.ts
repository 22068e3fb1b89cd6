/** `@arcp/s3`: contents of artifacts in an S3-compatible store. */
export { s3Blobs } from "./blobs.ts";
export type { S3BlobsOptions, S3Credentials } from "./options.ts";
