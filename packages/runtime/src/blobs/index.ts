/** `@arcp/runtime/blobs`: what stores of blobs are made of, wherever they put them. */
export {
  type BlobCipher,
  BlobKeys,
  HEADER_BYTES,
  PIECE_BYTES,
  SEALED_PIECE_BYTES,
  sealedOffset,
  sealedPiece,
  sealedSize,
} from "../store/blob-cipher.ts";
export { assertBlobId, newBlobId, partsOfBlobId } from "../store/blob-names.ts";
export { type BlobTarget, checkedPieces, closedBlobs, corruptBlob, PiecewiseWriter } from "../store/blob-transfer.ts";
